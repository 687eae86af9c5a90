/** What every `mae bench` prints: a table for people, or one line of JSON. */
import { availableParallelism, cpus } from 'node:os';
import { version } from '../util/version.js';

/** A thing that was measured: its key in the JSON, and as people read it. */
export type Row = readonly [key: string, value: unknown, text?: string];

/** The machine and versions, as the first keys of the JSON. */
export function machineRows(onnxRuntime?: string): Row[] {
  const processor = `${cpus()[0]?.model.trim() ?? 'unknown'}, ${availableParallelism()} cores`;
  return [
    ['mae', version],
    ['node', process.version],
    ...(onnxRuntime === undefined ? [] : [['onnxruntime', onnxRuntime] as const]),
    ['processor', processor],
  ];
}

export function report(rows: readonly Row[], json: boolean): void {
  if (json) {
    console.log(JSON.stringify(Object.fromEntries(rows)));
    return;
  }
  for (const [key, value, text] of rows) {
    if (typeof value === 'object' && text === undefined) continue;
    console.log(`${key.replaceAll('_', ' ').padEnd(34)}${text ?? value}`);
  }
}

export function formatSeconds(seconds: number): string {
  return seconds < 1 ? `${(1000 * seconds).toPrecision(3)} ms` : `${seconds.toFixed(2)} s`;
}
