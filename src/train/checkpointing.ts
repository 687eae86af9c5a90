import { join } from 'node:path';
import type { ManifestParameter } from '../artifact/manifest.js';
import { bytesOf } from '../util/bytes.js';
import { UserError } from '../util/errors.js';
import { checkpointFiles, writeCheckpoint } from '../weights/checkpoint/run-directory.js';
import { readTensorInto, type TensorToWrite, writeSafetensors } from '../weights/checkpoint/safetensors.js';
import { readState, type State, writeState } from '../weights/checkpoint/state.js';
import { modelMetadata } from '../weights/foreign/describe-model.js';
import { checkParameters, withSafetensors } from '../weights/foreign/weights.js';
import { type ModelState, sliceOf } from './engine/model-state.js';
import { isLossScale, type LossScale } from './loss-scale.js';

/** Where a run is, beside its tensors. */
export interface RunState extends State {
  /** Optimizer steps taken. */
  readonly step: number;
  readonly epoch: number;
  /** Steps taken in this epoch, and the sum of their losses. */
  readonly stepInEpoch: number;
  readonly epochLossSum: number;
  /** Unreadable images met so far. */
  readonly skippedImages: number;
  /** Steps without a finite gradient, in which the optimizer did not run: in all, and in this epoch. */
  readonly skippedSteps: number;
  readonly skippedInEpoch: number;
  /** State of the loss scale, in float16. */
  readonly lossScale?: LossScale | undefined;
}

export const startOfRun: RunState = {
  step: 0,
  epoch: 0,
  stepInEpoch: 0,
  epochLossSum: 0,
  skippedImages: 0,
  skippedSteps: 0,
  skippedInEpoch: 0,
};

/** What checkpoints from before a field was there mean by its absence. */
const earlierFields = { skippedSteps: 0, skippedInEpoch: 0 };

/** Saves a step of a run; nothing older is touched before it is whole. Returns its folder. See `writeCheckpoint`. */
export function saveCheckpoint(
  run: string,
  state: ModelState,
  position: RunState,
  keep: number,
  spared?: string,
): Promise<string> {
  const { manifest } = state;
  return writeCheckpoint(
    run,
    position.step,
    async (folder) => {
      const weights = tensorsOf(state.parameters, manifest.parameters);
      await writeSafetensors(
        join(folder, checkpointFiles.model),
        weights,
        modelMetadata(manifest, position.step),
      );
      const moments = [
        ...tensorsOf(state.expAvg, state.trained, 'exp_avg.'),
        ...tensorsOf(state.expAvgSq, state.trained, 'exp_avg_sq.'),
      ];
      await writeSafetensors(join(folder, checkpointFiles.optimizer), moments);
      await writeState(folder, position);
    },
    keep,
    spared,
  );
}

/** Reads a checkpoint's weights, moments and position back. */
export async function loadCheckpoint(folder: string, state: ModelState): Promise<RunState> {
  await readArena(join(folder, checkpointFiles.model), state.parameters, state.manifest.parameters);
  const optimizer = join(folder, checkpointFiles.optimizer);
  await readArena(optimizer, state.expAvg, state.trained, 'exp_avg.');
  await readArena(optimizer, state.expAvgSq, state.trained, 'exp_avg_sq.');
  // fields in one order, so that a resumed run writes the bytes of one that was left alone
  const saved: State = { ...earlierFields, ...(await readState(folder)) };
  const check = (isRight: boolean, what: string) => {
    if (isRight) return;
    const path = join(folder, checkpointFiles.state);
    throw new UserError(`checkpoint: expected ${what} in ${path}; resume from another checkpoint`);
  };
  for (const field of Object.keys(startOfRun)) {
    check(typeof saved[field] === 'number', `a number "${field}"`);
  }
  const { lossScale } = saved;
  check(lossScale === undefined || isLossScale(lossScale), 'a loss scale and its good steps "lossScale"');
  return { ...startOfRun, ...saved } as RunState;
}

/** The parts of an arena as float32 tensors, in the order of the model. */
function tensorsOf(
  arena: Float32Array,
  parameters: readonly ManifestParameter[],
  prefix = '',
): TensorToWrite[] {
  return parameters.map((parameter) => ({
    name: `${prefix}${parameter.name}`,
    dtype: 'F32',
    shape: parameter.shape,
    data: bytesOf(sliceOf(arena, parameter)),
  }));
}

async function readArena(
  path: string,
  arena: Float32Array,
  parameters: readonly ManifestParameter[],
  prefix = '',
): Promise<void> {
  const named = parameters.map((parameter) => ({ ...parameter, name: `${prefix}${parameter.name}` }));
  await withSafetensors(path, async (file) => {
    checkParameters(file, named);
    for (const parameter of named) {
      await readTensorInto(file, parameter.name, bytesOf(sliceOf(arena, parameter)));
    }
  });
}
