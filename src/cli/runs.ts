import type { Argv, Options } from 'yargs';
import { listRuns, type RunRow } from '../jobs/list-runs.js';
import { jsonFlag } from './common-flags.js';
import type { Arguments } from './flags.js';
import { note, print } from './print.js';

export const options = {
  json: jsonFlag('One line of JSON instead of a table'),
} as const satisfies Record<string, Options>;

export function positionals(argv: Argv): Argv {
  return argv.positional('dir', {
    type: 'string',
    default: '.',
    describe: 'Folder that holds runs, at any depth',
  });
}

export async function run({ dir, json }: Arguments<typeof options> & { dir: string }): Promise<void> {
  const runs = await listRuns(dir, note);
  if (json) {
    print(JSON.stringify({ runs }));
    return;
  }
  const now = Date.now();
  const titles = ['state', 'command', 'model', 'step', 'epoch', 'loss', 'best', 'changed', 'path'];
  const cells = [titles, ...runs.map((row) => cellsOf(row, now))];
  const widths = titles.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)));
  for (const row of cells) {
    const padded = row.map((cell, column) => cell.padEnd(widths[column]!));
    print(padded.join('  ').trimEnd());
  }
}

function cellsOf(row: RunRow, now: number): string[] {
  const of = (count: number | null, total: number | null) =>
    count === null ? '-' : `${count}${total === null ? '' : `/${total}`}`;
  return [
    row.state,
    row.command ?? '-',
    row.model ?? '-',
    of(row.step, row.total_steps),
    of(row.epoch, row.epochs),
    row.loss?.toFixed(4) ?? '-',
    bestCell(row),
    ago((now - Date.parse(row.changed)) / 1000),
    row.problem === null ? row.path : `${row.path} (${row.problem})`,
  ];
}

function bestCell({ best, is_partial: isPartial }: RunRow): string {
  if (best === null) return '-';
  const names = { logreg: 'logreg', val_top1: 'top-1', val_loss: 'val loss' };
  const value = best.name === 'val_loss' ? best.value.toFixed(4) : `${(100 * best.value).toFixed(1)} %`;
  return `${names[best.name]} ${value}${isPartial ? ' lately' : ''}`;
}

/** The largest unit of which there are two or more. */
export function ago(seconds: number): string {
  const units: readonly [string, number][] = [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
  ];
  const [name, length] = units.find(([, unit]) => seconds >= 2 * unit) ?? ['s', 1];
  return `${Math.max(0, Math.floor(seconds / length))} ${name} ago`;
}
