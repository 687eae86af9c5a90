import { UserError } from '../util/errors.js';

/** Checks of flags, as yargs `coerce` functions: they name the flag, the range and what was given. */

interface Range {
  min?: number;
  max?: number;
  /** The ends of the range, or its lower end alone, are not part of it. */
  open?: boolean | 'min';
}

export function integer(flag: string, range: Range = {}): (value: unknown) => number | undefined {
  return (value) => check(flag, value, range, true);
}

export function number(flag: string, range: Range = {}): (value: unknown) => number | undefined {
  return (value) => check(flag, value, range, false);
}

function check(flag: string, value: unknown, range: Range, whole: boolean): number | undefined {
  if (value === undefined) return undefined;
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY, open = false } = range;
  const parsed = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
  const fits =
    typeof parsed === 'number' &&
    (!whole || Number.isSafeInteger(parsed)) &&
    Number.isFinite(parsed) &&
    (open ? parsed > min : parsed >= min) &&
    (open === true ? parsed < max : parsed <= max);
  if (fits) return parsed;
  const kind = whole ? 'a whole number' : 'a number';
  const from = min === Number.NEGATIVE_INFINITY ? '' : open ? ` above ${min}` : ` of at least ${min}`;
  const to =
    max === Number.POSITIVE_INFINITY ? '' : `${from && ' and'} ${open === true ? 'below' : 'at most'} ${max}`;
  throw new UserError(`--${flag}: expected ${kind}${from}${to}, got ${JSON.stringify(value)}`);
}

/** One value; yargs makes an array of a flag that is given twice. */
export function text(flag: string): (value: unknown) => string | undefined {
  return (value) => {
    if (value === undefined || (typeof value === 'string' && value !== ''))
      return value as string | undefined;
    throw new UserError(`--${flag}: expected one value, got ${JSON.stringify(value)}`);
  };
}

/** One of a few values. */
export function choice<V extends string>(
  flag: string,
  values: readonly V[],
): (value: unknown) => V | undefined {
  return (value) => {
    if (value === undefined || values.some((each) => each === value)) return value as V | undefined;
    throw new UserError(`--${flag}: expected one of ${values.join(', ')}, got ${JSON.stringify(value)}`);
  };
}

type CamelCase<S extends string> = S extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;
type Given<F> = F extends { coerce: (value: unknown) => infer V }
  ? V
  : F extends { type: 'boolean' }
    ? boolean
    : unknown;
type ValueOf<F> = F extends { default: unknown } | { demandOption: true } ? NonNullable<Given<F>> : Given<F>;

/** What a command gets for its flags: fields in camelCase, checked and with defaults filled in. */
export type Arguments<Flags> = { [Name in keyof Flags & string as CamelCase<Name>]: ValueOf<Flags[Name]> };
