import type { Pool } from '../artifact/graphs.js';
import { pixelValues } from '../data/pictures/pixels.js';
import { imageSize, type ModelConfig } from '../model/config.js';
import type { Device } from '../runtime/device.js';
import { prepareEnvironment } from '../runtime/library.js';
import { Runtime } from '../runtime/runtime.js';
import { intraOpThreads } from '../runtime/threads.js';
import { RandomStream } from '../util/random.js';
import type { Classifier } from '../weights/foreign/classifier.js';
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
  /** The largest absolute difference, and the largest absolute value of the evaluation graph. */
  readonly difference: number;
  readonly largest: number;
}

/** Largest difference allowed, relative to the largest value where that is above 1. */
const tolerance = 1e-3;

/**
 * Runs an exported encoder through onnxruntime-node's public API, on the CPU, and compares it with the evaluation
 * graph's encoder on the device. Throws where they differ, for one of the two is wrong.
 */
export function checkEncoder(path: string, encoder: Encoder, pool: Pool, place: Place): Promise<ExportCheck> {
  return checkModel(path, encoder.config, place, async (runtime, images) => {
    const evaluator = openEncoder(runtime, encoder, [pool], checkedImages);
    try {
      await evaluator.run({ images });
      return evaluator.outputs[pool]!;
    } finally {
      evaluator.release();
    }
  });
}

/** As `checkEncoder`, for a classifier and its logits. */
export function checkClassifier(path: string, classifier: Classifier, place: Place): Promise<ExportCheck> {
  return checkModel(path, classifier.config, place, async (runtime, images) => {
    const evaluator = openClassifier(runtime, classifier, checkedImages);
    try {
      await evaluator.run({ images });
      return evaluator.outputs['logits']!;
    } finally {
      evaluator.release();
    }
  });
}

async function checkModel(
  path: string,
  config: ModelConfig,
  { threads, device }: Place,
  evaluate: (runtime: Runtime, images: Uint8Array) => Promise<Float32Array>,
): Promise<ExportCheck> {
  const { height, width } = imageSize(config);
  const images = randomImages(checkedImages * height * width * 3);
  const { name, shape, data: got } = await runExported(path, images, config, threads);
  const runtime = new Runtime({ threads, device });
  const expected = await evaluate(runtime, images).finally(() => runtime.release());
  const difference = got.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const limit = tolerance * Math.max(1, largest);
  if (got.length !== expected.length || !(difference <= limit)) {
    throw new Error(
      `export: expected ${path} to give ${expected.length} numbers within ${limit.toExponential(1)} of the ` +
        `evaluation graph's, got ${got.length} that differ by ${difference.toExponential(1)}`,
    );
  }
  return { name, shape, difference, largest };
}

/** The first output of the exported model on uint8 images. */
async function runExported(
  path: string,
  images: Uint8Array,
  config: ModelConfig,
  threads: number,
): Promise<{ name: string; shape: readonly number[]; data: Float32Array }> {
  prepareEnvironment();
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const { height, width } = imageSize(config);
  const session = await InferenceSession.create(path, { intraOpNumThreads: intraOpThreads(threads) });
  const values = pixelValues(images, { height, width });
  const input = new Tensor('float32', values, [checkedImages, 3, height, width]);
  const outputs = await session.run({ pixel_values: input });
  const name = session.outputNames[0]!;
  const { dims, data } = outputs[name]!;
  await session.release();
  return { name, shape: dims, data: data as Float32Array };
}

function randomImages(length: number): Uint8Array {
  const random = new RandomStream(0, 'sample');
  return Uint8Array.from({ length }, () => random.int(256));
}
