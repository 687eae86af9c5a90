import { parameterCount } from '../artifact/manifest.js';
import type { ImageSource } from '../data/sources/source.js';
import { formatInputSize } from '../model/config.js';
import type { MaeOptions } from '../model/mask.js';
import { learningRate } from '../model/optim/schedule.js';
import type { DeviceMemory } from '../runtime/device-memory.js';
import type { PretrainOptions } from '../train/options.js';
import type { Plan } from '../train/plan.js';
import { estimateMemory, formatGiB } from './memory-estimate.js';
import type { Prepared } from './prepare.js';

/** What a run would be, as rows of a name and a value; a row without a name goes on with the one before it. */
export function describePlan(
  { options, device, compute, task, artifacts: { manifest } }: Prepared<PretrainOptions>,
  { schedule, stepsPerEpoch, totalSteps, effectiveBatchSize, leftOverImages }: Plan,
  images: ImageSource,
  available: DeviceMemory | undefined,
): [name: string, value: string][] {
  const { model } = task;
  const memory = estimateMemory(manifest, device);
  const millions = (parameterCount(manifest) / 1e6).toFixed(1);
  const { patches, kept, predicted } = manifest.options as MaeOptions;
  const removed = `${patches - kept} removed${predicted === undefined ? '' : `, ${predicted} of them predicted`}`;
  return [
    ['model', `${options.model}, ${formatInputSize(model)}, patch ${model.patchSize}`],
    ['parameters', `${millions} M`],
    ['tokens', `${patches} patches an image: ${kept} visible, ${removed}`],
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
