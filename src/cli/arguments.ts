import { parseArgs } from 'node:util';
import type { Options } from 'yargs';
import { camelCase } from '../util/case.js';
import { closest } from '../util/closest.js';
import { UserError } from '../util/errors.js';

/** The option tokens of `parseArgs`, as far as they are read here. */
interface Given {
  readonly name: string;
  readonly rawName: string;
  readonly value?: string | undefined;
  readonly inlineValue?: boolean | undefined;
}

/**
 * Refuses what yargs would read as something else: an option that is not one or is given twice (it adds up what is
 * given twice), a switch with a value other than true or false (false), a word too many after `--` (dropped).
 *
 * @param args all arguments, of which the first names are the command's own
 * @param hasPositionals whether other words than options belong to the command
 */
export function checkArguments(
  args: readonly string[],
  command: string,
  options: Readonly<Record<string, Options>>,
  hasPositionals: boolean,
): void {
  const tokens = parse(args, options);
  const given = tokens.filter((token) => token.kind === 'option');
  const words = tokens.filter((token) => token.kind === 'positional').slice(command.split(' ').length);
  if (given.some(({ name, value }) => (name === 'help' || name === 'version') && value === undefined)) return;
  if (words.length === 1 && words[0]!.value === 'help') return;
  const seen = new Map<string, Given>();
  for (const option of given) {
    const name = nameOf(option, options);
    if (name === undefined) throw unknownOption(option, command, options);
    checkValue(name, option, options[name]!);
    const earlier = seen.get(name);
    if (earlier !== undefined) {
      throw new UserError(
        `--${name}: expected once, got ${asWritten(earlier)} and ${asWritten(option)}; give it once`,
      );
    }
    seen.set(name, option);
  }
  if (hasPositionals || words.length === 0) return;
  throw new UserError(
    `expected options alone after mae ${command}, got ${JSON.stringify(words[0]!.value)} (mae ${command} --help lists them)`,
  );
}

function parse(args: readonly string[], options: Readonly<Record<string, Options>>) {
  const known: Record<string, { type: 'boolean' | 'string'; short?: string }> = {};
  for (const [name, { type, alias }] of Object.entries(options)) {
    const kind = type === 'boolean' ? 'boolean' : 'string';
    known[camelCase(name)] = { type: kind };
    known[name] = { type: kind, ...(typeof alias === 'string' && { short: alias }) };
  }
  // a switch may have its value behind it, as yargs takes it
  const joined: string[] = [];
  for (const arg of args) {
    const before = joined.at(-1) ?? '';
    const isSwitch = known[before.replace(/^--(?=[^-])/, '')]?.type === 'boolean' && before.startsWith('--');
    if (isSwitch && /^(true|false)$/.test(arg)) joined[joined.length - 1] = `${before}=${arg}`;
    else joined.push(arg);
  }
  return parseArgs({ args: joined, options: known, strict: false, allowPositionals: true, tokens: true })
    .tokens;
}

/** The option's name in the table, in whatever spelling it is given. */
function nameOf({ name }: Given, options: Readonly<Record<string, Options>>): string | undefined {
  const isNegated = name.startsWith('no-');
  return Object.keys(options).find(
    (known) =>
      name === known ||
      name === camelCase(known) ||
      (isNegated &&
        options[known]!.type === 'boolean' &&
        [known, camelCase(known)].includes(name.slice('no-'.length))),
  );
}

function checkValue(name: string, option: Given, { type }: Options): void {
  const { rawName, value, inlineValue } = option;
  if (type === 'boolean') {
    const isNegated = !Object.hasOwn({ [name]: 0, [camelCase(name)]: 0 }, option.name);
    if (value === undefined || (!isNegated && /^(true|false)$/.test(value))) return;
    throw new UserError(`--${name}: expected --${name} or --no-${name}, got ${asWritten(option)}`);
  }
  if (value === undefined) throw new UserError(`--${name}: expected a value after ${rawName}, got none`);
  const isNext = !inlineValue && value.startsWith('-') && value !== '-' && !/^-[\d.]/.test(value);
  if (isNext) {
    throw new UserError(
      `--${name}: expected a value, got ${value}; a value that begins with a dash is written --${name}=${value}`,
    );
  }
}

function unknownOption(
  option: Given,
  command: string,
  options: Readonly<Record<string, Options>>,
): UserError {
  const names = Object.entries(options).flatMap(([name, { type }]) =>
    type === 'boolean' ? [name, `no-${name}`] : [name],
  );
  const near = closest(option.name, names) ?? closest(option.name.replace(/^no-/, ''), names);
  const hint = near === undefined ? '' : `; did you mean --${near}?`;
  return new UserError(`Unknown option ${option.rawName}${hint} (mae ${command} --help lists what there is)`);
}

function asWritten({ rawName, value, inlineValue }: Given): string {
  if (value === undefined) return rawName;
  return `${rawName}${inlineValue ? '=' : ' '}${value}`;
}

/** Files after `--`, whose names may begin with a dash, as yargs takes them for files as well. */
export function withoutDashes(args: readonly string[]): string[] {
  const end = args.indexOf('--');
  if (end < 0) return [...args];
  const files = args.slice(end + 1).map((file) => (file.startsWith('-') ? `./${file}` : file));
  return [...args.slice(0, end), ...files];
}

/** `--show` alone as `--show=auto`: yargs has no value that may be left out, and would take the word behind it. */
export function withShownAs(args: readonly string[]): string[] {
  const end = args.indexOf('--');
  return args.map((arg, place) => (arg === '--show' && (end < 0 || place < end) ? '--show=auto' : arg));
}
