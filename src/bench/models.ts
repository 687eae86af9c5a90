/** What `mae models` tells of the presets: their sizes, what a step costs, and how fast they are here. */
import { imageFlops } from '../artifact/flops.js';
import { readManifest } from '../artifact/read-manifest.js';
import { writeArtifacts } from '../artifact/write.js';
import { checkMemory } from '../jobs/memory-estimate.js';
import { type PrepareOptions, prepare } from '../jobs/prepare.js';
import type { ModelConfig } from '../model/config.js';
import { maeTask } from '../model/mae.js';
import { encoderParameters, maeParameters, type ParameterSpec } from '../model/parameters.js';
import { loadModelConfig, presetDescription, presetNames } from '../model/presets.js';
import { Runtime } from '../runtime/runtime.js';
import { ModelState } from '../train/engine/model-state.js';
import { Trainer } from '../train/engine/trainer.js';
import { pretrainDefaults } from '../train/options.js';
import { UserError } from '../util/errors.js';
import { withScratchFolder } from '../util/scratch-folder.js';
import { sizeOf } from '../util/shape.js';
import { noiseBatch } from './noise-batch.js';
import { timed } from './statistics.js';

export interface PresetFacts {
  readonly name: string;
  readonly description: string;
  readonly config: ModelConfig;
  readonly encoderParameters: number;
  readonly parameters: number;
  /** Patches of an image, and those that the encoder sees of it. */
  readonly patches: number;
  readonly visible: number;
  /** Of the matrix products of a training step with the published options, for one image. */
  readonly flops: number;
}

/** The presets, the one that costs the least first. */
export function presetFacts(): PresetFacts[] {
  return presetNames()
    .map((name) => factsOf(name))
    .sort((a, b) => a.flops - b.flops);
}

function factsOf(name: string): PresetFacts {
  const config = loadModelConfig(name);
  const task = maeTask(config, pretrainDefaults);
  const { patches, kept } = task.options;
  return {
    name,
    description: presetDescription(name),
    config,
    encoderParameters: count(encoderParameters(config)),
    parameters: count(maeParameters(config)),
    patches,
    visible: kept,
    flops: imageFlops(task),
  };
}

function count(specs: readonly ParameterSpec[]): number {
  return specs.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
}

export interface Speed {
  readonly imagesPerSecond: number;
  /** Whether steps of the preset were timed; else it is what its operations take at the rate of the last one timed. */
  readonly isMeasured: boolean;
}

export type SpeedOptions = Pick<PrepareOptions, 'device' | 'threads' | 'precision' | 'kernels'>;

/** Operations of a step that is timed, of 4 to 64 images. */
const stepFlops = 5e10;

/**
 * Training steps a second, times their images, of one preset after the other, while `budgetSeconds` last; images are not
 * read. A preset that would take longer, or more memory than there is, gets an estimate.
 */
export async function measureSpeeds(
  presets: readonly PresetFacts[],
  options: SpeedOptions,
  budgetSeconds: number,
): Promise<Speed[]> {
  const start = performance.now();
  const speeds: Speed[] = [];
  let flopsPerSecond = 0;
  for (const preset of presets) {
    const batchSize = Math.max(4, Math.min(64, Math.round(stepFlops / preset.flops)));
    const left = budgetSeconds - (performance.now() - start) / 1000;
    // one step that does not count and two that do, and about as long again to begin
    const needed = (6 * batchSize * preset.flops) / flopsPerSecond;
    const isFirst = flopsPerSecond === 0;
    const imagesPerSecond =
      isFirst || needed <= left ? await timeSteps(preset, { ...options, batchSize }) : undefined;
    if (imagesPerSecond !== undefined) flopsPerSecond = imagesPerSecond * preset.flops;
    speeds.push({
      imagesPerSecond: imagesPerSecond ?? flopsPerSecond / preset.flops,
      isMeasured: imagesPerSecond !== undefined,
    });
  }
  return speeds;
}

/** Images a second of the faster of two steps; undefined where memory is too small for them. */
async function timeSteps(
  { config }: PresetFacts,
  options: SpeedOptions & { batchSize: number },
): Promise<number | undefined> {
  const task = maeTask(config, pretrainDefaults);
  const whole = { ...options, accumIter: 1, gradCheckpointing: false };
  const { artifacts, device, runtimeOptions } = await prepare(whole, task);
  try {
    checkMemory(artifacts.manifest, whole, device);
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
  return withScratchFolder(async (folder) => {
    writeArtifacts(artifacts, folder);
    const state = new ModelState(readManifest(folder));
    state.initialize(0);
    const runtime = new Runtime(runtimeOptions);
    try {
      const trainer = new Trainer(runtime, folder, state);
      try {
        const batch = noiseBatch(artifacts.manifest);
        let best = Number.POSITIVE_INFINITY;
        for (let step = 1; step <= 3; step++) {
          const { seconds } = await timed(async () => {
            await trainer.forwardBackward(batch, 0, 1);
            await trainer.reduce(0);
            await trainer.update(step, { learningRate: 1e-4, weightDecay: 0.05 });
          });
          if (step > 1) best = Math.min(best, seconds);
        }
        return options.batchSize / best;
      } finally {
        trainer.release();
      }
    } finally {
      runtime.release();
    }
  });
}
