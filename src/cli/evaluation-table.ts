import type { EvaluationRow } from '../jobs/evaluation/judge.js';

/** k of the kNN that is shown. */
const shownK = '20';

interface Column {
  readonly title: string;
  readonly of: (row: EvaluationRow) => number | undefined;
  readonly shown: (row: EvaluationRow) => string;
  /** Whether rows are compared by it. */
  readonly isAccuracy: boolean;
}

/** A row alone. */
export function rowLine(row: EvaluationRow): string {
  return `${rowName(row)}: ${columnsOf([row])
    .map(({ title, shown }) => `${title} ${shown(row)}`)
    .join(', ')}`;
}

function rowName({ features, pool }: EvaluationRow): string {
  const parts = features.split(', ');
  return pool === null ? features : [`${parts[0]} ${pool}`, ...parts.slice(1)].join(', ');
}

/** The rows in per cent, one line each, below a line of titles. */
export function tableLines(rows: readonly EvaluationRow[]): string[] {
  const columns = columnsOf(rows);
  const cells = [
    ['features', ...columns.map(({ title }) => title)],
    ...rows.map((row) => [rowName(row), ...columns.map(({ shown }) => shown(row))]),
  ];
  const widths = cells[0]!.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  return cells.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)))
      .join('   '),
  );
}

/** Which row is best in each column, and whether the encoder is ahead of the baselines. */
export function verdictLines(rows: readonly EvaluationRow[], isBaseline: readonly boolean[]): string[] {
  const columns = columnsOf(rows).filter(({ isAccuracy }) => isAccuracy);
  const best = (column: Column, among: readonly EvaluationRow[]) =>
    among.reduce((first, row) => (column.of(row)! > column.of(first)! ? row : first));
  const bests = columns.map((column) => {
    const row = best(column, rows);
    return `${column.title} ${rowName(row)} (${percent(column.of(row)!)})`;
  });
  const own = rows.filter((_, i) => !isBaseline[i]);
  const baselines = rows.filter((_, i) => isBaseline[i]);
  const behind = columns.flatMap((column) => {
    const [ours, theirs] = [best(column, own), best(column, baselines)];
    const isBehind = column.of(ours)! <= column.of(theirs)!;
    return isBehind ? [`${rowName(theirs)} in ${column.title}`] : [];
  });
  return [
    `best: ${bests.join('; ')}`,
    behind.length === 0
      ? 'the encoder beats every baseline in every column'
      : `the encoder does not beat ${behind.join('; ')}`,
  ];
}

function columnsOf(rows: readonly EvaluationRow[]): Column[] {
  const [first] = rows;
  if (first === undefined) return [];
  const accuracyColumn = (title: string, of: (row: EvaluationRow) => number | undefined): Column => ({
    title,
    of,
    shown: (row) => percent(of(row)!),
    isAccuracy: true,
  });
  const shots = Object.keys(first.shots ?? {});
  return [
    ...(first.knn === undefined ? [] : [accuracyColumn(`kNN ${shownK}`, ({ knn }) => knn?.[shownK])]),
    ...(first.logreg === undefined ? [] : [accuracyColumn('logreg', ({ logreg }) => logreg)]),
    ...shots.map((n) => ({
      ...accuracyColumn(`${n} a class`, ({ shots: few }) => few?.[n]?.mean),
      shown: ({ shots: few }: EvaluationRow) => `${percent(few![n]!.mean)} ± ${percent(few![n]!.sd)}`,
    })),
    {
      title: 'RankMe',
      of: ({ rankme }) => rankme,
      shown: ({ rankme }) => rankme.toFixed(1),
      isAccuracy: false,
    },
  ];
}

function percent(share: number): string {
  return (100 * share).toFixed(1);
}
