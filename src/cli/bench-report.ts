/** What every `mae bench` prints: a table for people, or one line of JSON. */
import { cpus } from 'node:os';
import { describeCores } from '../util/cores.js';
import { version } from '../util/version.js';
import { print } from './print.js';

/** A thing that was measured: its key in the JSON, and as people read it. */
export type Row = readonly [key: string, value: unknown, text?: string];

/** The machine and versions, as the first keys of the JSON. */
export function machineRows(onnxRuntime?: string): Row[] {
  const processor = `${cpus()[0]?.model.trim() ?? 'unknown'}, ${describeCores()}`;
  return [
    ['mae', version],
    ['node', process.version],
    ...(onnxRuntime === undefined ? [] : [['onnxruntime', onnxRuntime] as const]),
    ['processor', processor],
  ];
}

export function report(rows: readonly Row[], json: boolean): void {
  if (json) {
    print(JSON.stringify(Object.fromEntries(rows)));
    return;
  }
  for (const [key, value, text] of rows) {
    if (typeof value === 'object' && text === undefined) continue;
    print(`${key.replaceAll('_', ' ').padEnd(34)}${text ?? value}`);
  }
}

export function formatSeconds(seconds: number): string {
  return seconds < 1 ? `${(1000 * seconds).toPrecision(3)} ms` : `${seconds.toFixed(2)} s`;
}
