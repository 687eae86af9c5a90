/** What `mae evaluate -o` left in a folder of a run. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import type { Evaluation } from '../../page/report-data.js';
import { foldersOfRun, hasFile, readJson } from '../check-output.js';
import { resultFiles, resultsFormat } from '../evaluation/result-names.js';

/** Classes up to which a confusion matrix is a table. */
const mostClasses = 40;

/** Those in the folders of a run that are not its own. */
export function evaluationsOf(run: string): Evaluation[] {
  const folders = readdirSync(run, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !foldersOfRun.includes(entry.name))
    .map(({ name }) => name)
    .sort();
  return folders.flatMap((name) => {
    const folder = join(run, name);
    const results = readJson(join(folder, resultFiles.results));
    return results['format'] === resultsFormat
      ? [{ folder: name, table: tableOf(results), ...confusionOf(folder) }]
      : [];
  });
}

type Fields = Readonly<Record<string, unknown>>;

/** In per cent; the columns that the first row has. */
function tableOf({ rows }: Fields): string[][] {
  const list = (Array.isArray(rows) ? rows : []).filter((row) => typeof row === 'object' && row !== null);
  const [first] = list as Fields[];
  if (first === undefined) return [];
  const shots = Object.keys(fieldsOf(first['shots']));
  const hasKnn = '20' in fieldsOf(first['knn']);
  const header = [
    'features',
    ...(hasKnn ? ['kNN of 20'] : []),
    ...('logreg' in first ? ['logistic regression'] : []),
    ...shots.map((n) => `${n} a class`),
    'RankMe',
  ];
  const cells = (row: Fields) => [
    [row['features'], row['pool']].filter((part) => typeof part === 'string').join(', '),
    ...(hasKnn ? [percent(fieldsOf(row['knn'])['20'])] : []),
    ...('logreg' in first ? [percent(row['logreg'])] : []),
    ...shots.map((n) => percent(fieldsOf(fieldsOf(row['shots'])[n])['mean'])),
    typeof row['rankme'] === 'number' ? row['rankme'].toFixed(1) : '',
  ];
  return [header, ...(list as Fields[]).map(cells)];
}

function confusionOf(folder: string): Pick<Evaluation, 'confusion' | 'note'> {
  const path = join(folder, resultFiles.confusion);
  if (!hasFile(path)) return { confusion: null, note: null };
  try {
    const [header, ...rows] = parse(readFileSync(path), { bom: true }) as string[][];
    const classes = header!.slice(1);
    if (classes.length > mostClasses) {
      const chart = `the picture of all ${classes.length} classes is ${resultFiles.confusionChart} there`;
      return { confusion: null, note: `No confusion matrix of more than ${mostClasses} classes: ${chart}.` };
    }
    const counts = rows.flatMap((row) => row.slice(1).map(Number));
    if (counts.length !== classes.length ** 2 || !counts.every(Number.isFinite)) throw new Error('torn');
    return { confusion: { classes, counts }, note: null };
  } catch {
    return { confusion: null, note: `No confusion matrix: ${resultFiles.confusion} cannot be read.` };
  }
}

function percent(share: unknown): string {
  return typeof share === 'number' ? `${(100 * share).toFixed(1)} %` : '';
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}
