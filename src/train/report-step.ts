import type { TrainLoader } from '../data/loader.js';
import type { BadSteps } from './bad-steps.js';
import type { Meter } from './meter.js';
import type { Tell } from './observer.js';
import type { TrainOptions } from './options.js';
import type { Plan } from './plan.js';
import type { RunCheckpoints } from './run-checkpoints.js';
import type { StepResult } from './step.js';

export interface ReportedRun {
  readonly options: TrainOptions;
  readonly plan: Plan;
  readonly loader: TrainLoader;
  readonly meter: Meter;
  readonly badSteps: BadSteps;
  readonly checkpoints: RunCheckpoints;
}

/** Tells of a step. Too many bad ones in a row are a UserError. */
export async function reportStep(
  taken: StepResult & { readonly lr: number },
  { options, plan, loader, meter, badSteps, checkpoints }: ReportedRun,
  tell: Tell,
): Promise<void> {
  const { loss, lr, gradientNorm, lossScale, outcome, batches, position } = taken;
  const { step, epoch, skippedImages } = position;
  const isLogged = step % options.logEvery === 0 || step === plan.totalSteps;
  const speed = meter.read(plan.effectiveBatchSize, isLogged);
  if (outcome !== 'bad') {
    badSteps.end();
    await checkpoints.confirm();
  }
  if (outcome === 'good') {
    await tell('stepped', {
      step,
      epoch,
      loss,
      lr,
      gradientNorm,
      lossScale,
      ...speed,
      skippedImages,
      isLogged,
    });
    return;
  }
  const images =
    outcome === 'bad'
      ? await badSteps.add(
          { step, loss, gradientNorm, lossScale },
          batches.flatMap((batch) => loader.pathsOf(batch)),
        )
      : undefined;
  const nextLossScale = position.lossScale?.scale;
  await tell('stepSkipped', {
    step,
    epoch,
    reason: outcome,
    loss,
    gradientNorm,
    lossScale,
    nextLossScale,
    images,
  });
  if (badSteps.isTooMany) throw badSteps.error(await checkpoints.fallBack());
}
