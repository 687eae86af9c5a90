import type { Positions } from '../../model/any-size.js';
import { type ModelConfig, patchGrid, withInputSize } from '../../model/config.js';
import { maeParameters } from '../../model/parameters.js';
import { interpolatePositions } from './interpolate-positions.js';
import { isNearly, positionTable } from './position-tables.js';
import type { Weights } from './weights.js';

/** How positions of another size are made where a person does not say: those that were trained have no formula. */
export function positionsOf({ config, parameters }: Pick<Weights, 'config' | 'parameters'>): Positions {
  const spec = maeParameters(config).find(({ name }) => name === 'pos_embed')!;
  return isNearly(parameters.get(spec.name)!, positionTable(spec)) ? 'sincos' : 'bicubic';
}

/**
 * The same weights for images of another size: sine-cosine positions are computed anew for its patches, those that were
 * trained are interpolated, and all with `bicubic`.
 */
export function atInputSize<W extends Pick<Weights, 'config' | 'notes' | 'parameters'>>(
  weights: W,
  inputSize: ModelConfig['inputSize'] | undefined,
  positions?: Positions,
): W {
  if (inputSize === undefined) return weights;
  const config = withInputSize(weights.config, inputSize);
  const [from, to] = [patchGrid(weights.config), patchGrid(config)];
  const notes = [...weights.notes];
  const parameters = new Map(weights.parameters);
  const before = new Map(maeParameters(weights.config).map((spec) => [spec.name, spec]));
  for (const spec of maeParameters(config)) {
    const { name, group, shape } = spec;
    const table = parameters.get(name);
    if (group !== 'fixed' || table === undefined) continue;
    const isComputed = positions !== 'bicubic' && isNearly(table, positionTable(before.get(name)!));
    if (isComputed) parameters.set(name, positionTable(spec));
    else if (from.rows !== to.rows || from.columns !== to.columns) {
      parameters.set(name, interpolatePositions(table, from, to, shape.at(-1)!));
      notes.push(
        `${name}: ${from.rows} × ${from.columns} positions are interpolated to ${to.rows} × ${to.columns}`,
      );
    }
  }
  return { ...weights, config, notes, parameters };
}
