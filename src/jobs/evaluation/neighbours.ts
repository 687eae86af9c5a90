import { loadImage } from '../../data/load-image.js';
import {
  type NeighbourRow,
  neighbourSheet,
  pictureSide,
  type Shown,
} from '../../data/pictures/neighbour-sheet.js';
import { selectRows } from '../../probes/labelled-features.js';
import { nearestNeighbours } from '../../probes/nearest-neighbours.js';
import type { Runtime } from '../../runtime/runtime.js';
import { UserError } from '../../util/errors.js';
import { RandomStream } from '../../util/random.js';
import type { FeatureTable } from '../features.js';
import type { FeatureSet } from './feature-sets.js';
import { classedRows, type Judged } from './judge.js';

const shownQueries = 10;
const shownNeighbours = 8;

/** Some images of validation, drawn by the seed, each beside the training images with the largest cosine. */
export async function neighbourPicture(
  runtime: Runtime,
  set: FeatureSet,
  { train, val }: Judged,
  { seed, exifRotation }: { readonly seed: number; readonly exifRotation?: boolean | undefined },
): Promise<Buffer> {
  const order = new RandomStream(seed, 'sample').permutation(val.labels.length);
  const queries = [...order.slice(0, shownQueries)].sort((a, b) => a - b);
  const { k, rows } = await nearestNeighbours(runtime, train, selectRows(val, queries), shownNeighbours);
  const [trainRows, valRows] = [classedRows(set.train.labels), classedRows(set.val.labels)];
  const sheet: NeighbourRow[] = [];
  for (const [i, query] of queries.entries()) {
    const row = valRows[query]!;
    const label = set.val.labels[row]!;
    const neighbours: NeighbourRow['neighbours'][number][] = [];
    for (const neighbour of rows.subarray(i * k, (i + 1) * k)) {
      const shown = await shownImage(set.train, trainRows[neighbour]!, exifRotation);
      neighbours.push({ ...shown, isSame: train.labels[neighbour] === label });
    }
    sheet.push({ query: await shownImage(set.val, row, exifRotation), neighbours });
  }
  return neighbourSheet(sheet, `Nearest neighbours, ${set.features} ${set.pool}`);
}

/** Grey where the file is gone meanwhile. */
async function shownImage(
  { names, labels, classNames }: FeatureTable,
  row: number,
  exifRotation: boolean | undefined,
): Promise<Shown> {
  const className = classNames[labels[row]!]!;
  const size = { height: pictureSide, width: pictureSide };
  try {
    return { className, pixels: await loadImage(names[row]!, { ...size, fit: 'crop', exifRotation }) };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { className, pixels: new Uint8Array(pictureSide * pictureSide * 3).fill(200) };
  }
}
