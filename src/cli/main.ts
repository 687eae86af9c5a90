import yargs, { type Argv, type Options } from 'yargs';
import { outOfMemory } from '../runtime/out-of-memory.js';
import { codeOf, UserError } from '../util/errors.js';
import { version } from '../util/version.js';
import { checkArguments, withoutDashes, withShownAs } from './arguments.js';
import { ignoresHangup } from './hangup.js';
import { note } from './print.js';

/** What a command's file exports. Nothing of it is loaded before the command is called. */
interface Command {
  options: Readonly<Record<string, Options>>;
  positionals?: (argv: Argv, args: readonly string[]) => Argv;
  run(argv: unknown): Promise<void>;
}

const commands: readonly [usage: string, description: string, load: () => Promise<unknown>][] = [
  ['pretrain', 'Pretrain a Masked Autoencoder on a folder of images', () => import('./pretrain.js')],
  [
    'finetune',
    'Train an encoder and a head for classes, by the published recipe',
    () => import('./finetune.js'),
  ],
  [
    'linprobe',
    'Train a linear layer on a frozen encoder, by the published protocol',
    () => import('./linprobe.js'),
  ],
  [
    'reconstruct [images..]',
    'Show what a checkpoint makes of masked images',
    () => import('./reconstruct.js'),
  ],
  ['embed', 'Write the features of images to a file', () => import('./embed.js')],
  ['predict [images..]', 'Tell the classes of images by a fine-tuned model', () => import('./predict.js')],
  [
    'export-classifier',
    'Write a fine-tuned model as ONNX or safetensors',
    () => import('./export-classifier.js'),
  ],
  [
    'evaluate',
    'Judge frozen features by kNN and logistic regression, beside baselines',
    () => import('./evaluate.js'),
  ],
  [
    'export-encoder',
    'Write the encoder of a checkpoint as ONNX or safetensors',
    () => import('./export-encoder.js'),
  ],
  ['export', 'Write a checkpoint for transformers, timm or the published code', () => import('./export.js')],
  ['runs [dir]', 'List the runs below a folder: how they stand', () => import('./runs.js')],
  [
    'report <runs..>',
    'Write one page of curves, reconstructions and weights of runs',
    () => import('./report.js'),
  ],
  ['log', 'Write the log of a run for other programs: mae log export', () => import('./log.js')],
  ['models', 'List the presets: sizes, cost, speed here, what they are for', () => import('./models.js')],
  ['build-artifacts', 'Write the ONNX training artefacts of a model', () => import('./build-artifacts.js')],
  ['sample-data', 'Render licence-free sample images', () => import('./sample-data.js')],
  [
    'demo',
    'Render sample images, pretrain a small model on them, reconstruct one',
    () => import('./demo.js'),
  ],
  ['bench', 'Measure training steps, the loader or a start', () => import('./bench.js')],
  ['doctor', 'Say what this machine has and what is missing', () => import('./doctor.js')],
];

/** Without what yargs-parser would make of words: numbers that lose digits, objects, groups of letters. */
const parserConfiguration = {
  'parse-numbers': false,
  'parse-positional-numbers': false,
  'dot-notation': false,
  'short-option-groups': false,
};

/** Runs the command line. The only place that turns errors into exit codes. */
export async function main(given: readonly string[]): Promise<void> {
  const args = withShownAs(given);
  guardProcess();
  const cli = yargs(withoutDashes(args))
    .parserConfiguration(parserConfiguration)
    .detectLocale(false)
    .scriptName('mae')
    .usage('$0 <command> [options]\n\nPretrains Masked Autoencoders with ONNX Runtime.')
    .version(version)
    .strict()
    .recommendCommands()
    .demandCommand(1, 'Name a command')
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .exitProcess(false)
    .fail((message, error) => {
      throw (
        error ??
        new UserError(`${message.replaceAll(/\s*\n\s*/g, ' ')} (${nameOf(args)} --help lists what there is)`)
      );
    });
  for (const [usage, description, load] of commands) {
    cli.command(
      usage,
      description,
      async (argv) => {
        const { options, positionals } = (await load()) as Command;
        const [name = '', ...words] = usage.split(' ');
        // those that have commands below them look at the words that are left
        const isLast = positionals === undefined || words.length > 0;
        if (isLast) checkArguments(args, name, options, words.length > 0);
        return (positionals?.(argv, args) ?? argv).options(options);
      },
      async (argv) => ((await load()) as Command).run(argv),
    );
  }
  try {
    checkFirst(args);
    await cli.parseAsync();
  } catch (error) {
    report(error);
    process.exitCode = 1;
  }
}

/** A terminal, pipe or disk behind the output that goes away ends no work; what was to be printed on stdout is missed. */
function guardProcess(): void {
  process.stderr.on('error', () => {});
  let isTold = false; // once, however much is printed later
  process.stdout.on('error', (error) => {
    if (codeOf(error) !== 'EPIPE' && !isTold)
      report(new UserError(`output: cannot write (${codeOf(error)})`));
    isTold = true;
    process.exitCode ||= codeOf(error) === 'EPIPE' ? 0 : 1;
  });
  if (ignoresHangup()) process.on('SIGHUP', () => {});
}

/** Options belong to commands. */
function checkFirst([first = '']: string[]): void {
  if (!first.startsWith('-') || first === '--help' || first === '--version') return;
  throw new UserError(`expected a command first, got ${first} (mae --help lists them)`);
}

/** `mae`, or `mae <command>` where the arguments name one. */
function nameOf([first = '']: string[]): string {
  return commands.some(([usage]) => usage.split(' ')[0] === first) ? `mae ${first}` : 'mae';
}

function report(error: unknown): void {
  const known = error instanceof Error && !isForUser(error) ? explained(error) : error;
  if (isForUser(known)) note(`mae: ${known.message}`);
  else console.error('internal:', error);
}

function explained(error: Error): Error {
  if (outOfMemory(error)) return tooLarge(error);
  if (codeOf(error) !== 'ERR_MODULE_NOT_FOUND') return error;
  return new UserError(`${error.message.replace(/ imported from .*/s, '')}: run npm install again`);
}

function tooLarge(error: Error): UserError {
  return new UserError(
    `memory: there was not enough (${error.message.split('\n')[0]}); use a smaller --batch-size with --accum-iter, ` +
      'or a smaller --model; --dry-run prints an estimate',
  );
}

/** yargs throws its own complaints, and those of a flag's `coerce`, as errors of a class that it does not export. */
function isForUser(error: unknown): error is Error {
  return error instanceof UserError || (error instanceof Error && error.name === 'YError');
}
