import type { LogLine } from './log-file.js';

/** Types of lines whose numbers are curves, and the fields that say where they belong. */
export const curveTypes = ['train', 'epoch', 'val', 'probe'];
const places = ['step', 'epoch'];

/**
 * The curves that a line of the log adds a point to: `train/loss`, `val/top1`, `probe/knn`. A tag is the line's type and
 * the field, without the `val_` that fields of validation begin with.
 */
export function scalarsOf(line: LogLine): Record<string, number> {
  const { type } = line;
  if (!curveTypes.includes(type) || line.step === undefined) return {};
  const numbers = Object.entries(line).filter(
    (entry): entry is [string, number] => Number.isFinite(entry[1]) && !places.includes(entry[0]),
  );
  return Object.fromEntries(
    numbers.map(([field, value]) => [`${type}/${field.replace(new RegExp(`^${type}_`), '')}`, value]),
  );
}
