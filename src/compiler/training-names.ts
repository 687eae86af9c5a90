/** The names by which whoever runs a training graph tells its inputs and outputs apart. */

/** A scalar input, the gradient of the loss: what all gradients are multiplied by. */
export const lossScaleName = 'loss_scale';

const gradientSuffix = '_grad';

/** The output for a parameter that is trained. */
export function gradientName(parameter: string): string {
  return `${parameter}${gradientSuffix}`;
}

export function isGradient(output: string): boolean {
  return output.endsWith(gradientSuffix);
}

/** The output for a buffer: a parameter that is not trained but kept up from batch to batch. */
export function nextName(buffer: string): string {
  return `${buffer}_next`;
}

const accumulationSuffix = '.accumulation.buffer';

/** The input for a parameter's gradient so far, to which a graph that accumulates adds. */
export function accumulationName(parameter: string): string {
  return `${gradientName(parameter)}${accumulationSuffix}`;
}

export function isAccumulation(input: string): boolean {
  return input.endsWith(accumulationSuffix);
}

/**
 * A scalar input of a graph that accumulates on a device that cannot write over the memory of an input: 1 in the first
 * micro-batch of a step, else 0.
 */
export const firstMicroBatchName = 'first_micro_batch';
