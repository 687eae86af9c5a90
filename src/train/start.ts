import { loadInitialWeights } from '../weights/foreign/initial-weights.js';
import { loadCheckpoint } from './checkpointing.js';
import { type ModelState, sliceOf } from './engine/model-state.js';
import { firstLossScale } from './loss-scale.js';
import type { PretrainOptions } from './options.js';
import { type Position, startOfRun } from './position.js';

/**
 * Fills the state with the weights at the start and says where the run is: as in the checkpoint that it goes on from,
 * with the weights that `--init` names, or fresh.
 *
 * @param note is told what a person should know of the weights, a line each
 */
export async function startPosition(
  state: ModelState,
  options: Pick<PretrainOptions, 'seed' | 'init'>,
  resumeFrom: string | undefined,
  note: (line: string) => void,
): Promise<Position> {
  if (resumeFrom !== undefined) return loadCheckpoint(resumeFrom, state);
  const { manifest, parameters } = state;
  state.initialize(options.seed);
  if (options.init === undefined) return startOfRun;
  const initial = await loadInitialWeights(options.init, manifest.model);
  for (const line of initial.notes) note(line);
  for (const parameter of manifest.parameters) {
    const given = initial.parameters.get(parameter.name);
    if (given !== undefined) sliceOf(parameters, parameter).set(given);
  }
  state.startEma();
  return startOfRun;
}

/** The position with the loss scale of a run in float16, or without one. */
export function withLossScale(position: Position, isScaled: boolean): Position {
  return { ...position, lossScale: isScaled ? (position.lossScale ?? firstLossScale) : undefined };
}
