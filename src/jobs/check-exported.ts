import type { Pool } from '../artifact/graphs.js';
import { formatInputSize, imageSize, type ModelConfig } from '../model/config.js';
import type { Device } from '../runtime/device.js';
import { Runtime } from '../runtime/runtime.js';
import { RandomStream } from '../util/random.js';
import type { Classifier } from '../weights/foreign/classifier.js';
import { openExported } from './exported-session.js';
import { openClassifier } from './open-classifier.js';
import { type Encoder, openEncoder } from './open-encoder.js';

/** Images of the check: more than one shows that the batch axis is free. */
const checkedImages = 2;

/** Where the evaluation graph runs. */
export interface Place {
  readonly threads: number;
  readonly device: Device;
}

/** An output of an exported model beside that of the evaluation graph. */
export interface ExportCheck {
  readonly name: string;
  readonly shape: readonly number[];
  /** Pixels of the images. */
  readonly size: string;
  /** The largest absolute difference, and the largest absolute value of the evaluation graph. */
  readonly difference: number;
  readonly largest: number;
}

/** Largest difference allowed, relative to the largest value where that is above 1. */
const tolerances = { fp32: 1e-3, fp16: 1e-2 };

/**
 * Runs an exported encoder through onnxruntime-node's public API, on the CPU, and compares it with the evaluation
 * graph's encoder on the device. Throws where they differ, for one of the two is wrong.
 */
export async function checkEncoder(
  path: string,
  encoder: Encoder,
  pool: Pool,
  place: Place,
  precision: 'fp32' | 'fp16' = 'fp32',
): Promise<ExportCheck> {
  return (await checkOutputs(path, encoder, [pool], place, precision))[0]!;
}

/** As `checkEncoder`, for a model with an output for each of some pools, in their order. */
export function checkOutputs(
  path: string,
  encoder: Encoder,
  pools: readonly Pool[],
  place: Place,
  precision: 'fp32' | 'fp16' = 'fp32',
): Promise<ExportCheck[]> {
  const tolerance = tolerances[precision];
  return checkModel(path, encoder.config, tolerance, place, async (runtime, images) => {
    const evaluator = openEncoder(runtime, encoder, pools, checkedImages);
    try {
      await evaluator.run({ images });
      return pools.map((pool) => evaluator.outputs[pool]!);
    } finally {
      evaluator.release();
    }
  });
}

/** As `checkEncoder`, for a classifier and its logits. */
export async function checkClassifier(
  path: string,
  classifier: Classifier,
  place: Place,
): Promise<ExportCheck> {
  const { config } = classifier;
  const checks = await checkModel(path, config, tolerances.fp32, place, async (runtime, images) => {
    const evaluator = openClassifier(runtime, classifier, checkedImages);
    try {
      await evaluator.run({ images });
      return [evaluator.outputs['logits']!];
    } finally {
      evaluator.release();
    }
  });
  return checks[0]!;
}

async function checkModel(
  path: string,
  config: ModelConfig,
  tolerance: number,
  { threads, device }: Place,
  evaluate: (runtime: Runtime, images: Uint8Array) => Promise<readonly Float32Array[]>,
): Promise<ExportCheck[]> {
  const { height, width } = imageSize(config);
  const images = randomImages(checkedImages * height * width * 3);
  const session = await openExported(path, config, threads);
  const outputs = await session.run(images).finally(() => session.release());
  const runtime = new Runtime({ threads, device });
  const evaluated = await evaluate(runtime, images).finally(() => runtime.release());
  return evaluated.map((expected, i) => {
    const { name, shape, data: got } = outputs[i]!;
    const difference = got.reduce((most, value, k) => Math.max(most, Math.abs(value - expected[k]!)), 0);
    const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const limit = tolerance * Math.max(1, largest);
    if (got.length !== expected.length || !(difference <= limit)) {
      throw new Error(
        `export: expected ${path} to give ${expected.length} numbers within ${limit.toExponential(1)} of the ` +
          `evaluation graph's, got ${got.length} that differ by ${difference.toExponential(1)}`,
      );
    }
    return { name, shape, size: formatInputSize(config), difference, largest };
  });
}

function randomImages(length: number): Uint8Array {
  const random = new RandomStream(0, 'sample');
  return Uint8Array.from({ length }, () => random.int(256));
}
