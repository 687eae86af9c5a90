/** What can be seen of a run's weights; what cannot is told. */
import { basename, dirname } from 'node:path';
import { attentionParameters } from '../../artifact/attention-graph.js';
import { patchGrid } from '../../model/config.js';
import type { AttentionMaps, WeightPictures } from '../../page/report-data.js';
import { Runtime } from '../../runtime/runtime.js';
import { messageOf } from '../../util/errors.js';
import { checkpointsOf, latestCheckpoint, runPaths } from '../../weights/checkpoint/run-directory.js';
import { loadWeights, type Weights } from '../../weights/foreign/weights.js';
import { readJson } from '../check-output.js';
import { attentionPictures, classAttention, sheetImages } from './attention.js';
import { filterOrder, filterTiles, type PatchEmbedding, positionMaps, relativeChange } from './filters.js';

const patchWeight = 'patch_embed.proj.weight';

export interface WeightOptions {
  /** Threads of ONNX Runtime; 0 stands for one a core. */
  readonly threads: number;
  readonly exifRotation: boolean | undefined;
}

/** Null where a run has no checkpoint that can be read; `note` is told why, and why a part is left out. */
export async function weightPictures(
  run: string,
  options: WeightOptions,
  note: (line: string) => void,
): Promise<WeightPictures | null> {
  const checkpoint = await latestCheckpoint(run).catch(() => undefined);
  if (checkpoint === undefined) {
    note('No filters, positions and attention: the run has no checkpoint.');
    return null;
  }
  let weights: Weights;
  try {
    weights = await loadWeights(run, attentionParameters);
  } catch (error) {
    note(`No filters, positions and attention: ${messageOf(error)}`);
    return null;
  }
  // a head and the like are not of these pictures
  for (const line of weights.notes) if (!/left unread/.test(line)) note(`Weights: ${line}`);
  const { config, parameters } = weights;
  const embedding = { weight: parameters.get(patchWeight)!, patchSize: config.patchSize };
  const order = filterOrder(embedding);
  return {
    checkpoint: basename(dirname(weights.path)),
    filters: filterTiles(embedding, order),
    earlier: await earlierFilters(run, weights.path, embedding, order),
    positions: positionMaps(parameters.get('pos_embed')!, patchGrid(config)),
    attention: await attentionMaps(run, weights, options, note),
  };
}

/** Those of the run's first checkpoint that is left, if that is another one. */
async function earlierFilters(
  run: string,
  path: string,
  last: PatchEmbedding,
  order: readonly number[],
): Promise<WeightPictures['earlier']> {
  const checkpoints = await checkpointsOf(run);
  const first = checkpoints.reduce((a, b) => (b.step < a.step ? b : a));
  if (first.folder === dirname(path)) return null;
  try {
    const { parameters } = await loadWeights(first.folder, (config) =>
      attentionParameters(config).filter(({ name }) => name === patchWeight),
    );
    const weight = parameters.get(patchWeight)!;
    return {
      ...filterTiles({ ...last, weight }, order),
      checkpoint: basename(first.folder),
      change: relativeChange(weight, last.weight),
    };
  } catch {
    return null; // the last one is shown, and that is what matters
  }
}

async function attentionMaps(
  run: string,
  { config, parameters }: Weights,
  { threads, exifRotation }: WeightOptions,
  note: (line: string) => void,
): Promise<AttentionMaps | null> {
  const { folder, images } = readJson(`${runPaths(run).pictures}/pictures.json`);
  const names = (Array.isArray(images) ? images : []).flatMap((image) => {
    const name = (image as { name?: unknown } | null)?.name;
    return typeof name === 'string' ? [name] : [];
  });
  if (typeof folder !== 'string' || names.length === 0) {
    note('No attention maps: the run has no sheets of pictures, whose pictures they would be of.');
    return null;
  }
  const shown = await sheetImages(folder, names, config, exifRotation);
  if (shown.length === 0) {
    note(`No attention maps: the pictures of the sheets are no longer in ${folder}.`);
    return null;
  }
  let runtime: Runtime | undefined;
  try {
    runtime = new Runtime({ threads });
    const maps = await classAttention(
      runtime,
      config,
      parameters,
      shown.map(({ image }) => image),
    );
    return attentionPictures(config, shown, maps);
  } catch (error) {
    note(`No attention maps: ${messageOf(error)}`);
    return null;
  } finally {
    runtime?.release();
  }
}
