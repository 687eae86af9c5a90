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
  const isHuge = whole && Number(value) > Number.MAX_SAFE_INTEGER; // not exact any more
  const most = isHuge ? Number.MAX_SAFE_INTEGER : Number.POSITIVE_INFINITY;
  const { min = Number.NEGATIVE_INFINITY, max = most, open = false } = range;
  const parsed = typeof value === 'string' ? numberOf(value, whole) : value;
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
  throw new UserError(`--${flag}: expected ${kind}${from}${to}, got ${shown(value)}`);
}

/** Decimal: sign, digits, fraction, power of ten. */
const decimal = /^[+-]?(?=\.?\d)(\d*)\.?(\d*)(?:e([+-]?\d+))?$/i;

/** The number that the text says and no other: not hexadecimal, not rounded to a whole one or to zero. */
function numberOf(text: string, whole: boolean): number | undefined {
  const match = decimal.exec(text.trim());
  if (match === null) return undefined;
  const [, integer = '', fraction = '', exponent = '0'] = match;
  if (whole && fraction.replace(/0+$/, '').length > Number(exponent)) return undefined;
  const value = Number(text);
  return value === 0 && /[1-9]/.test(integer + fraction) ? undefined : value;
}

/** Numbers as they were typed, other text in quotes. */
function shown(value: unknown): string {
  return typeof value === 'string' && decimal.test(value) ? value : JSON.stringify(value);
}

/** Seconds of a time such as `90s`, `30m`, `1h30m` or `1d`; a number is seconds. */
export function duration(flag: string): (value: unknown) => number | undefined {
  return (value) => {
    if (value === undefined) return undefined;
    const match = durationForm.exec(String(value));
    const [days = 0, hours = 0, minutes = 0, seconds = 0] =
      match?.slice(1).map((part) => Number(part ?? 0)) ?? [];
    const total = 86400 * days + 3600 * hours + 60 * minutes + seconds;
    if (total > 0 && Number.isFinite(total)) return total;
    throw new UserError(
      `--${flag}: expected a time such as 90s, 30m, 1h30m or 1d, got ${JSON.stringify(value)}`,
    );
  };
}

/** The largest unit first. */
const durationForm =
  /^(?=.)(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?$/;

/** One value that is not empty. */
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

/** Several values with commas between them, each once: each as the check of one says. */
export function list<V>(
  flag: string,
  check: (value: unknown) => V | undefined,
): (value: unknown) => readonly V[] | undefined {
  return (value) => {
    if (value === undefined || (Array.isArray(value) && value.every((each) => typeof each !== 'string')))
      return value as readonly V[] | undefined; // the default
    const words = text(flag)(value)!.split(',');
    const values = words.map((word) => check(word.trim()) as V);
    const twice = values.find((each, i) => values.indexOf(each) < i);
    if (twice === undefined) return values;
    throw new UserError(`--${flag}: expected each value once, got ${twice} twice`);
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
