import { type ModelConfig, patchGrid, withInputSize } from '../../model/config.js';
import { maeParameters } from '../../model/parameters.js';
import { interpolatePositions } from './interpolate-positions.js';
import { isNearly, positionTable } from './position-tables.js';
import type { Weights } from './weights.js';

/**
 * The same weights for images of another size: sine-cosine positions are computed anew for its patches, those that were
 * trained are interpolated.
 */
export function atInputSize<W extends Pick<Weights, 'config' | 'notes' | 'parameters'>>(
  weights: W,
  inputSize: ModelConfig['inputSize'] | undefined,
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
    if (isNearly(table, positionTable(before.get(name)!))) parameters.set(name, positionTable(spec));
    else if (from.rows !== to.rows || from.columns !== to.columns) {
      parameters.set(name, interpolatePositions(table, from, to, shape.at(-1)!));
      notes.push(
        `${name}: ${from.rows} × ${from.columns} positions are interpolated to ${to.rows} × ${to.columns}`,
      );
    }
  }
  return { ...weights, config, notes, parameters };
}
