import type { Options } from 'yargs';
import type { TrainCommand } from '../train/changes-result.js';
import { camelCase } from '../util/case.js';
import { closest } from '../util/closest.js';
import { UserError } from '../util/errors.js';
import { readJsonFile } from '../util/json-file.js';

type Flags = Readonly<Record<string, Options>>;

/** `--config` of a command that trains; `flags` are the others it has. */
export function configFlag(command: TrainCommand, flags: Flags) {
  return {
    config: true,
    configParser: (path: string) => readConfigFile(path, command, flags),
    describe: 'JSON file of these options (a run’s config.json, for example); flags win',
  } as const;
}

/** What was given or has a default, by the fields of options, without what belongs to the command line alone. */
export function givenOptions(argv: object, flags: Flags): Record<string, unknown> {
  const fields = new Set(Object.keys(flags).map(camelCase));
  for (const own of ['config', 'dryRun', 'logFormat']) fields.delete(own);
  const given = Object.entries(argv).filter(([field, value]) => fields.has(field) && value !== undefined);
  return Object.fromEntries(given);
}

/** Options by flag name; the `options` of a run's config.json are taken as they are. */
function readConfigFile(path: string, command: TrainCommand, flags: Flags): Record<string, unknown> {
  const value = readJsonFile(path, '--config') as {
    options?: Record<string, unknown>;
    command?: unknown;
  } | null;
  const options = value?.options ?? value;
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new UserError(`--config: expected a JSON object of options in ${path}`);
  }
  const there = value?.options === undefined ? command : (value.command ?? 'pretrain');
  if (there !== command) {
    throw new UserError(
      `--config: expected options of mae ${command} in ${path}, got a run of mae ${there}; give that command`,
    );
  }
  for (const [key, option] of Object.entries(options)) {
    if (key === 'config' || !Object.hasOwn(flags, key)) {
      const near = closest(key, Object.keys(flags));
      const hint = near === undefined ? '' : `; did you mean "${near}"?`;
      throw new UserError(
        `--config: ${path} has an unknown option "${key}"${hint} (mae ${command} --help lists them)`,
      );
    }
    const { type } = flags[key]!;
    const [isOfType, expected] = configTypes[key === 'input-size' ? 'size' : (type ?? 'number')]!;
    if (!isOfType(option)) {
      throw new UserError(`--${key}: expected ${expected} in ${path}, got ${JSON.stringify(option)}`);
    }
  }
  return options;
}

/** What JSON has for each type of option. */
const configTypes: Readonly<Record<string, readonly [isOfType: (value: unknown) => boolean, name: string]>> =
  {
    boolean: [(value) => typeof value === 'boolean', 'true or false'],
    string: [(value) => typeof value === 'string', 'text'],
    number: [(value) => typeof value === 'number', 'a number'],
    size: [(value) => value !== null, 'pixels'], // the flag's own check says more
  };
