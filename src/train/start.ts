import { loadCheckpoint } from './checkpointing.js';
import { type ModelState, sliceOf } from './engine/model-state.js';
import { firstLossScale } from './loss-scale.js';
import { type Position, startOfRun } from './position.js';

/** Reads the parameters that a new run does not start afresh. */
export type InitialWeights = () => Promise<ReadonlyMap<string, Float32Array>>;

/**
 * Fills the state with the weights at the start and says where the run is: as in the checkpoint that it goes on from, or
 * fresh, but for the parameters that it is given.
 */
export async function startPosition(
  state: ModelState,
  seed: number,
  resumeFrom: string | undefined,
  initialWeights?: InitialWeights,
): Promise<Position> {
  if (resumeFrom !== undefined) return loadCheckpoint(resumeFrom, state);
  const { manifest, parameters } = state;
  state.initialize(seed);
  const initial = await initialWeights?.();
  for (const parameter of manifest.parameters) {
    const given = initial?.get(parameter.name);
    if (given !== undefined) sliceOf(parameters, parameter).set(given);
  }
  state.startEma();
  return startOfRun;
}

/** The position with the loss scale of a run in float16, or without one. */
export function withLossScale(position: Position, isScaled: boolean): Position {
  return { ...position, lossScale: isScaled ? (position.lossScale ?? firstLossScale) : undefined };
}
