/** Which curves stand in which chart. */
import type { RunData } from './report-data.js';

export interface ChartSpec {
  readonly title: string;
  /** Drawn with a dash of its own each. */
  readonly tags: readonly string[];
  readonly isShare?: boolean;
  readonly hasGuesses?: boolean;
}

const charts: readonly ChartSpec[] = [
  { title: 'Loss', tags: ['train/loss', 'val/loss'], hasGuesses: true },
  { title: 'Probe accuracy', tags: ['probe/logreg', 'probe/knn'], isShare: true },
  { title: 'Validation accuracy', tags: ['val/top1', 'val/top5'], isShare: true },
  { title: 'RankMe of the features', tags: ['probe/rank_me'] },
  { title: 'Learning rate', tags: ['train/lr'] },
  { title: 'Gradient norm', tags: ['train/grad_norm'] },
  { title: 'Images per second', tags: ['train/images_per_second'] },
  { title: 'Time spent waiting for data', tags: ['train/data_wait'], isShare: true },
  { title: 'Loss scale', tags: ['train/loss_scale'] },
  { title: 'Unreadable images so far', tags: ['train/skipped_images'] },
];

/** Numbers that are said elsewhere. */
const untold = ['epoch/loss', 'val/images', 'val/skipped_images'];

/** What a line is called where its chart has several. */
export const labels: Readonly<Record<string, string>> = {
  'train/loss': 'training',
  'val/loss': 'validation',
  'epoch/loss': 'mean of an epoch',
  'probe/logreg': 'logistic regression',
  'probe/knn': 'kNN',
  'val/top1': 'top-1',
  'val/top5': 'top-5',
};

/** The charts that some run has curves for; a curve that no chart knows gets its own. */
export function chartsOf(runs: readonly RunData[]): ChartSpec[] {
  const curves = runs.flatMap((run) => run.curves);
  const isThere = (tag: string) =>
    curves.some(
      (curve) => curve.tag === tag && (tag !== 'train/skipped_images' || curve.value.some((x) => x > 0)),
    );
  const known = charts.flatMap((chart) => {
    const tags = chart.tags.filter(isThere);
    return tags.length === 0 ? [] : [{ ...chart, tags }];
  });
  const told = [...charts.flatMap(({ tags }) => tags), ...untold];
  const others = [...new Set(curves.map(({ tag }) => tag))].filter((tag) => !told.includes(tag));
  return [...known, ...others.map((tag) => ({ title: tag, tags: [tag] }))];
}
