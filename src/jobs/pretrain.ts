import { parameterCount } from '../artifact/manifest.js';
import { formatInputSize } from '../model/config.js';
import { maeTask } from '../model/mae.js';
import type { MaeOptions } from '../model/mask.js';
import { modelOf } from '../model/presets.js';
import type { RunResult } from '../train/observer.js';
import { defaultWarmupEpochs, type PretrainOptions, pretrainDefaults } from '../train/options.js';
import type { Plan } from '../train/plan.js';
import { resolveExifRotation } from '../train/recorded-run.js';
import { loadInitialWeights } from '../weights/foreign/initial-weights.js';
import { checkRunFolder } from './check-output.js';
import type { TaskDescription } from './describe-plan.js';
import { type Prepared, prepare } from './prepare.js';
import { openRunImages } from './run-images.js';
import { describeSteps, type RunSources, type Terminal, trainRun } from './train-run.js';

/** What a run decides first. A UserError where its directory cannot be one. */
export async function preparePretraining<O extends PretrainOptions>(
  options: O,
): Promise<Prepared<O & { exifRotation: boolean }>> {
  checkRunFolder(options.outputDir);
  return prepare(await resolveExifRotation(options), maeTask(modelOf(options), options));
}

/** Builds what a run needs, continues the run of its directory or starts one, and trains. */
export async function pretrain(given: PretrainOptions, terminal: Terminal): Promise<RunResult> {
  const prepared = await preparePretraining(given);
  const { options, task } = prepared;
  const { init } = options;
  return trainRun(
    {
      command: 'pretrain',
      prepared,
      openImages: (note) => openRunImages(options, note),
      ...(init !== undefined && {
        initialWeights: async (note) => {
          const { notes, parameters } = await loadInitialWeights(init, task.model);
          for (const line of notes) note(line);
          return parameters;
        },
      }),
      summary: (plan, images) => summary(prepared, plan, images),
    },
    terminal,
  );
}

function summary(
  { options, artifacts: { manifest } }: Prepared<PretrainOptions>,
  plan: Plan,
  { trainImages }: RunSources,
): string[] {
  const millions = (parameterCount(manifest) / 1e6).toFixed(1);
  const { kept, patches } = manifest.options as MaeOptions;
  const { epochs, warmupEpochs } = options;
  const isScaled = epochs < pretrainDefaults.warmupEpochs && warmupEpochs === defaultWarmupEpochs(epochs);
  const { images, leftOver } = describeSteps(options, plan, trainImages.length);
  return [
    `${options.model}: ${millions} M parameters, ${kept} of ${patches} patches visible`,
    images,
    ...(isScaled
      ? [`${warmupEpochs} epochs of warm-up, a twentieth of all; --warmup-epochs sets others`]
      : []),
    ...leftOver,
  ];
}

/** What `--dry-run` says of the model. */
export function describePretraining({
  options,
  task,
  artifacts: { manifest },
}: Prepared<PretrainOptions>): TaskDescription {
  const { patches, kept, predicted } = manifest.options as MaeOptions;
  const removed = `${patches - kept} removed${predicted === undefined ? '' : `, ${predicted} of them predicted`}`;
  return {
    model: `${options.model}, ${formatInputSize(task.model)}, patch ${task.model.patchSize}`,
    tokens: `${patches} patches an image: ${kept} visible, ${removed}`,
  };
}
