/** Probes, evaluations, options, and what went wrong. */
import { h, scrolled, table } from './dom.js';
import { count, number, percent } from './format.js';
import { swatch } from './readout.js';
import type { Counted, Curve, Evaluation, ReportData, RunData } from './report-data.js';
import type { Settings } from './settings.js';

/** The last of each probe, and the best with its epoch. */
export function probes(runs: readonly RunData[]): Node[] {
  const names: Readonly<Record<string, string>> = {
    'probe/logreg': 'Logistic regression',
    'probe/knn': 'kNN',
    'probe/rank_me': 'RankMe',
  };
  const rows = runs.flatMap((run, index) =>
    run.curves
      .filter(({ tag }) => tag.startsWith('probe/'))
      .map((curve) => [
        h('span', {}, swatch(index), run.name),
        names[curve.tag] ?? curve.tag,
        ...probeCells(run, curve),
      ]),
  );
  return rows.length === 0 ? [] : [table('Probes', ['Run', 'Probe', 'Last', 'Best', 'at epoch'], rows)];
}

function probeCells({ stepsPerEpoch }: RunData, { tag, value, step }: Curve): string[] {
  const shown = tag === 'probe/rank_me' ? number : percent;
  const best = value.indexOf(value.reduce((a, b) => Math.max(a, b)));
  const epoch = stepsPerEpoch === null ? '–' : number(step[best]! / stepsPerEpoch);
  return [shown(value.at(-1)!), shown(value[best]!), epoch];
}

export function evaluations(runs: readonly RunData[]): Node[] {
  return runs.flatMap((run) => run.evaluations.flatMap((each) => evaluation(run.name, each)));
}

function evaluation(run: string, { folder, table: cells, confusion, note }: Evaluation): Node[] {
  const title = `${run}/${folder}`;
  const [header, ...rows] = cells;
  return [
    h('h3', {}, title),
    ...(header === undefined ? [] : [table(`Evaluation of ${title}`, header, rows)]),
    ...(confusion === null ? [] : [confusionTable(title, confusion)]),
    ...(note === null ? [] : [h('p', { class: 'soft' }, note)]),
  ];
}

/** A row for each true class, a column for each answer, shaded by the share of the row. */
function confusionTable(
  title: string,
  { classes, counts }: NonNullable<Evaluation['confusion']>,
): HTMLElement {
  const size = classes.length;
  const rows = classes.map((name, row) => {
    const cells = counts.slice(row * size, (row + 1) * size);
    const total = cells.reduce((a, b) => a + b, 0) || 1;
    return h(
      'tr',
      {},
      h('th', { scope: 'row' }, name),
      ...cells.map((value, column) => shaded(value, value / total, row === column)),
    );
  });
  const head = h(
    'tr',
    {},
    h('th', {}, 'true \\ answered'),
    ...classes.map((name) => h('th', { scope: 'col' }, h('span', {}, name))),
  );
  return scrolled(
    `Confusion matrix of ${title}`,
    h('table', { class: 'confusion' }, h('thead', {}, head), h('tbody', {}, ...rows)),
  );
}

function shaded(value: number, share: number, isRight: boolean): HTMLElement {
  const cell = h('td', { class: isRight ? 'right' : null }, value === 0 ? '' : count(value));
  cell.style.setProperty('--share', `${Math.round(100 * share)}%`);
  if (share > 0.55) cell.classList.add('strong');
  return cell;
}

/** Options that differ; the others are folded away. */
export function options({ runs, options: rows }: ReportData, settings: Settings): Node[] {
  const header = ['Option', ...runs.map(({ name }) => name)];
  const cells = (all: typeof rows) =>
    all.map(({ name, values }) => [name, ...values.map((value) => value ?? '–')]);
  const [different, same] = [rows.filter(({ differs }) => differs), rows.filter(({ differs }) => !differs)];
  const many = runs.length > 1;
  if (rows.length === 0) return [];
  return [
    ...(many && different.length > 0 ? [table('Options that differ', header, cells(different))] : []),
    ...(many && different.length === 0 ? [h('p', {}, sameness(rows))] : []),
    same.length === 0
      ? h('span')
      : folded(
          'options',
          many ? `Options that do not differ (${same.length})` : `All options (${same.length})`,
          settings,
          [table('Options', header, cells(same))],
        ),
  ];
}

function sameness(rows: ReportData['options']): string {
  const known = rows[0]?.values.filter((value) => value !== null).length ?? 0;
  return known < 2 ? 'There are not two configurations to compare.' : 'The runs were told the same.';
}

/** A part that is folded away until a person wants it; new data leave it as it is. */
function folded(name: string, title: string, { open }: Settings, children: readonly Node[]): HTMLElement {
  const details = h('details', { open: open.has(name) }, h('summary', {}, title), ...children);
  details.addEventListener('toggle', () => {
    if (details.open) open.add(name);
    else open.delete(name);
  });
  return details;
}

export function troubles(runs: readonly RunData[]): Node[] {
  const rows = (of: (run: RunData) => readonly Counted[]) =>
    runs.flatMap((run) =>
      of(run).map(({ reason, count: times, examples }) => [
        run.name,
        reason,
        count(times),
        examples.join(', '),
      ]),
    );
  const [skipped, others] = [rows(({ skipped: files }) => files), rows(({ troubles: all }) => all)];
  return [
    ...(skipped.length === 0
      ? []
      : [
          h('h3', {}, 'Files passed over'),
          table('Files passed over', ['Run', 'Reason', 'Files', 'For example'], skipped),
        ]),
    ...(others.length === 0
      ? []
      : [h('h3', {}, 'What failed'), table('What failed', ['Run', 'What', 'Times', 'At'], others)]),
  ];
}
