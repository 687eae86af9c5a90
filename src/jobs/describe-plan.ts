import { parameterCount } from '../artifact/manifest.js';
import type { ImageSource } from '../data/sources/source.js';
import { learningRate } from '../model/optim/schedule.js';
import type { DeviceMemory } from '../runtime/device-memory.js';
import type { TrainOptions } from '../train/options.js';
import type { Plan } from '../train/plan.js';
import { estimateMemory, formatGiB } from './memory-estimate.js';
import type { Prepared } from './prepare.js';

/** What only the task of a run knows of it, for people. */
export interface TaskDescription {
  readonly model: string;
  readonly tokens: string;
  /** What a recipe decided, if it decided something. */
  readonly recipe?: string;
}

/** What a run would be, as rows of a name and a value; a row without a name goes on with the one before it. */
export function describePlan(
  { options, device, compute, artifacts: { manifest } }: Prepared<TrainOptions>,
  { schedule, stepsPerEpoch, totalSteps, effectiveBatchSize, leftOverImages }: Plan,
  images: ImageSource,
  available: DeviceMemory | undefined,
  { model, tokens, recipe }: TaskDescription,
): [name: string, value: string][] {
  const memory = estimateMemory(manifest, device);
  const millions = (parameterCount(manifest) / 1e6).toFixed(1);
  return [
    ['model', model],
    ['parameters', `${millions} M`],
    ['tokens', tokens],
    [
      'memory',
      `about ${formatGiB(memory.totalBytes)}: ${formatGiB(memory.stateBytes)} parameters, gradients and moments, ` +
        `${formatGiB(memory.activationBytes)} activations`,
    ],
    ['device', device.description],
    [
      'available',
      available === undefined
        ? 'the device does not tell how much memory it has'
        : `${formatGiB(available.freeBytes)} of ${formatGiB(available.totalBytes)} free, ${available.owner}`,
    ],
    ['compute', compute.description],
    ...(recipe === undefined ? [] : [['recipe', recipe] as [string, string]]),
    ['images', `${images.length} in ${images.root}`],
    ['batch', `${effectiveBatchSize} = ${options.batchSize} × ${options.accumIter} (--accum-iter)`],
    ...(leftOverImages === 0
      ? []
      : [
          ['left over', `${leftOverImages} of ${images.length} images in each epoch, others each time`] as [
            string,
            string,
          ],
        ]),
    ['steps', `${totalSteps}: ${stepsPerEpoch} an epoch, ${options.epochs} epochs`],
    [
      'schedule',
      `lr ${schedule.lr}, ${schedule.warmupEpochs} epochs of warm-up, then a cosine to ${schedule.minLr}`,
    ],
    ...[0, 0.25, 0.5, 0.75, 1].map((share): [string, string] => {
      const step = Math.round(share * (totalSteps - 1));
      return ['', `step ${step + 1}: lr ${learningRate(step, schedule).toPrecision(4)}`];
    }),
  ];
}
