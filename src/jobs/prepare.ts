import { type ArtifactOptions, type Artifacts, buildArtifacts } from '../artifact/build.js';
import type { Task } from '../model/task.js';
import { chooseDevice } from '../runtime/choose-device.js';
import type { Device } from '../runtime/device.js';
import type { RuntimeOptions } from '../runtime/runtime.js';
import { type Compute, chooseCompute } from '../train/engine/compute.js';
import type { TrainOptions } from '../train/options.js';
import { divideBatch } from './auto-batch.js';

/** What the graphs of a run follow from, whatever its task. */
export interface PrepareOptions
  extends Pick<TrainOptions, 'batchSize' | 'accumIter' | 'threads' | 'device' | 'precision' | 'kernels'> {
  readonly gradCheckpointing: boolean;
  /** Whether batchSize and accumIter are divided anew. */
  readonly autoBatch?: boolean;
  /** The run that may go on, whose division is kept. */
  readonly outputDir?: string;
  readonly resume?: string;
}

/** How weights follow their gradients. */
export type UpdateOptions = Pick<ArtifactOptions, 'optimizer' | 'emaDecay'>;

export interface Prepared<O> {
  /** As given, with the batch divided where `autoBatch` asks for it. */
  readonly options: O;
  readonly device: Device;
  readonly compute: Compute;
  readonly task: Task;
  readonly artifacts: Artifacts;
  /** Where the graphs run. */
  readonly runtimeOptions: RuntimeOptions;
}

/**
 * What every command that trains decides first: device, precision, batch, and with them the graphs of its task. A
 * UserError where they do not fit together. Nothing is written, and no memory is taken.
 */
export async function prepare<O extends PrepareOptions>(
  given: O,
  task: Task,
  update: UpdateOptions = {},
): Promise<Prepared<O>> {
  const device = chooseDevice(given.device, given.precision);
  const compute = chooseCompute(given, device);
  const runtimeOptions = { threads: given.threads, kernelsPath: compute.kernels?.path, device };
  const build = (options: O): Artifacts => buildFor(task, options, update, compute, device);
  const options = await divideBatch(given, build, runtimeOptions);
  return { options, device, compute, task, artifacts: build(options), runtimeOptions };
}

/** The same with graphs of another size and for other micro-batches; the options stay. */
export function withGraphs<O>(prepared: Prepared<O>, task: Task, batchSize: number): Prepared<O> {
  const { artifacts, compute, device } = prepared;
  const { optimizer, emaDecay, accumulate, gradCheckpointing = false } = artifacts.manifest;
  const options = { batchSize, accumIter: accumulate ? 2 : 1, gradCheckpointing };
  return { ...prepared, task, artifacts: buildFor(task, options, { optimizer, emaDecay }, compute, device) };
}

function buildFor(
  task: Task,
  {
    batchSize,
    accumIter,
    gradCheckpointing,
  }: Pick<PrepareOptions, 'batchSize' | 'accumIter' | 'gradCheckpointing'>,
  update: UpdateOptions,
  { kernelPrecision, graphPrecision }: Compute,
  { lacks }: Device,
): Artifacts {
  const accumulate = accumIter > 1;
  return buildArtifacts(task, {
    ...update,
    batchSize,
    accumulate,
    gradCheckpointing,
    kernelPrecision,
    graphPrecision,
    lacks,
  });
}
