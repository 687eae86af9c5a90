import { join } from 'node:path';
import type { ManifestParameter } from '../artifact/manifest.js';
import { bytesOf } from '../util/bytes.js';
import { checkParameters } from '../weights/checkpoint/check-parameters.js';
import { checkpointFiles } from '../weights/checkpoint/checkpoint-files.js';
import { writeCheckpoint } from '../weights/checkpoint/run-directory.js';
import {
  readTensorInto,
  type TensorToWrite,
  withSafetensors,
  writeSafetensors,
} from '../weights/checkpoint/safetensors.js';
import { readState, writeState } from '../weights/checkpoint/state.js';
import { modelMetadata } from '../weights/foreign/model-info.js';
import { type ModelState, sliceOf } from './engine/model-state.js';
import { checkedPosition, type Position } from './position.js';

/** Saves a step of a run; nothing older is touched before it is whole. Returns its folder. See `writeCheckpoint`. */
export function saveCheckpoint(
  run: string,
  state: ModelState,
  position: Position,
  keep: number,
  spared: readonly string[] = [],
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
      const averages = [...state.averages].flatMap(([name, arena]) =>
        tensorsOf(arena, state.trained, `${name}.`),
      );
      await writeSafetensors(join(folder, checkpointFiles.optimizer), averages);
      await writeState(folder, position);
    },
    keep,
    spared,
  );
}

/** Reads a checkpoint's weights, running averages and position back. */
export async function loadCheckpoint(folder: string, state: ModelState): Promise<Position> {
  await readArena(join(folder, checkpointFiles.model), state.parameters, state.manifest.parameters);
  const optimizer = join(folder, checkpointFiles.optimizer);
  for (const [name, arena] of state.averages) await readArena(optimizer, arena, state.trained, `${name}.`);
  return checkedPosition(await readState(folder), join(folder, checkpointFiles.state));
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
