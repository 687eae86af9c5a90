import type { Artifacts } from '../artifact/build.js';
import type { Manifest } from '../artifact/manifest.js';
import { readManifest } from '../artifact/read-manifest.js';
import { writeArtifacts } from '../artifact/write.js';
import type { Device } from '../runtime/device.js';
import { outOfMemory } from '../runtime/out-of-memory.js';
import { Runtime, type RuntimeOptions } from '../runtime/runtime.js';
import { emptyBatch } from '../train/engine/batch-tensors.js';
import { ModelState } from '../train/engine/model-state.js';
import { Trainer } from '../train/engine/trainer.js';
import { recordedBatch } from '../train/recorded-run.js';
import { UserError } from '../util/errors.js';
import { withScratchFolder } from '../util/scratch-folder.js';
import { estimateMemory, fittingBatchSize, formatGiB } from './memory-estimate.js';

/** Share left free: the estimate is not exact to the byte, and allocators lose a little between buffers. */
const margin = 0.1;

/** What of a run's options says how its batch may be divided. */
export interface DividedOptions {
  readonly autoBatch?: boolean;
  readonly batchSize: number;
  readonly accumIter: number;
  readonly gradCheckpointing: boolean;
  readonly outputDir?: string;
  readonly resume?: string;
}

/**
 * With `--auto-batch`, the options with the largest batch size that fits the device and divides the effective batch,
 * and the accumIter that keeps it; else the options. A run that goes on keeps to its own division.
 */
export async function divideBatch<O extends DividedOptions>(
  options: O,
  buildFor: (options: O) => Artifacts,
  runtime: RuntimeOptions & { readonly device: Device },
): Promise<O> {
  if (!options.autoBatch) return options;
  const { device } = runtime;
  const effective = options.batchSize * options.accumIter;
  const recorded = await recordedBatch(options);
  if (recorded !== undefined) {
    // a run with another effective batch is another run, which is told when the two are compared
    return recorded.batchSize * recorded.accumIter === effective ? { ...options, ...recorded } : options;
  }
  const memory = device.readMemory();
  if (memory === undefined) {
    throw new UserError(
      `--auto-batch: expected a device that tells how much memory it has, got --device ${device.name}; give --batch-size ` +
        'and --accum-iter',
    );
  }
  const divided = (batchSize: number): O => ({ ...options, batchSize, accumIter: effective / batchSize });
  const build = (batchSize: number) => buildFor(divided(batchSize));
  const batchSize = await largestBatch(effective, {
    build,
    estimate: (manifest) => estimateMemory(manifest, device),
    usable: (1 - margin) * memory.usableBytes,
    // the CPU's system promises more memory than there is and ends who uses it: there the estimate has to do
    trial: device.memory === undefined ? undefined : (artifacts) => trialStep(artifacts, runtime),
  });
  if (batchSize === undefined) {
    const { totalBytes } = estimateMemory(build(1).manifest, device);
    throw new UserError(
      `--auto-batch: one image needs about ${formatGiB(totalBytes)}, and ${memory.owner} has ` +
        `${formatGiB(memory.usableBytes)}; use a smaller --model${options.gradCheckpointing ? '' : ' or --grad-checkpointing'}`,
    );
  }
  return divided(batchSize);
}

export interface BatchSearch {
  build(batchSize: number): Artifacts;
  estimate(manifest: Manifest): ReturnType<typeof estimateMemory>;
  readonly usable: number;
  /** Really runs a step. What it throws where memory runs out counts as too large. */
  readonly trial?: ((artifacts: Artifacts) => Promise<void>) | undefined;
}

/** The largest divisor of the effective batch that fits, by the estimate and then by a step; undefined if none does. */
export async function largestBatch(
  effective: number,
  { build, estimate, usable, trial }: BatchSearch,
): Promise<number | undefined> {
  let largest = fittingBatchSize(estimate(build(effective).manifest), effective, usable);
  for (const batchSize of divisorsDescending(effective)) {
    if (batchSize > largest) continue;
    const artifacts = build(batchSize);
    if (estimate(artifacts.manifest).totalBytes > usable) continue;
    try {
      await trial?.(artifacts);
      return batchSize;
    } catch (error) {
      if (outOfMemory(error) === undefined) throw error;
      largest = Math.floor(batchSize / 2);
    }
  }
  return undefined;
}

export function divisorsDescending(n: number): number[] {
  const divisors: number[] = [];
  for (let low = 1; low * low <= n; low++) {
    if (n % low === 0) divisors.push(low, ...(low * low === n ? [] : [n / low]));
  }
  return divisors.sort((a, b) => b - a);
}

/** Forward, backward and optimizer once, on blank images. */
async function trialStep(artifacts: Artifacts, runtimeOptions: RuntimeOptions): Promise<void> {
  const runtime = new Runtime(runtimeOptions);
  try {
    await withScratchFolder(async (folder) => {
      writeArtifacts(artifacts, folder);
      const manifest = readManifest(folder);
      const state = new ModelState(manifest);
      state.initialize(0);
      const trainer = new Trainer(runtime, folder, state);
      try {
        await trainer.forwardBackward(emptyBatch(manifest.inputs), 0, 1);
        await trainer.reduce(0);
        await trainer.update(1, { learningRate: 0, weightDecay: 0 });
      } finally {
        trainer.release();
      }
    });
  } finally {
    runtime.release();
  }
}
