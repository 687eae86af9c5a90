import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

export interface OperatorTime {
  readonly operator: string;
  /** Time in one step, over all its nodes. */
  readonly seconds: number;
  /** Share of the time of all operators of its graph. */
  readonly share: number;
  readonly calls: number;
}

interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  /** Microseconds. */
  readonly dur: number;
  readonly args?: { readonly op_name?: string };
}

/** Time by operator in the profile whose path starts with `prefix`, for each of `steps` steps; the longest first. */
export function readProfile(prefix: string, steps: number): OperatorTime[] {
  const file = readdirSync(dirname(prefix)).find((name) => name.startsWith(basename(prefix)));
  if (file === undefined) throw new Error(`readProfile: expected a profile at ${prefix}, got none`);
  const events = JSON.parse(readFileSync(join(dirname(prefix), file), 'utf8')) as ProfileEvent[];
  const totals = new Map<string, { seconds: number; calls: number }>();
  let all = 0;
  for (const { cat, name, dur, args } of events) {
    if (cat !== 'Node' || !name.endsWith('_kernel_time') || args?.op_name === undefined) continue;
    const total = totals.get(args.op_name) ?? { seconds: 0, calls: 0 };
    totals.set(args.op_name, { seconds: total.seconds + dur / 1e6, calls: total.calls + 1 });
    all += dur / 1e6;
  }
  return [...totals]
    .map(([operator, { seconds, calls }]) => ({
      operator,
      seconds: seconds / steps,
      share: seconds / all,
      calls: calls / steps,
    }))
    .sort((a, b) => b.seconds - a.seconds);
}
