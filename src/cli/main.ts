import yargs, { type Argv, type Options } from 'yargs';
import { outOfMemory } from '../runtime/out-of-memory.js';
import { UserError } from '../util/errors.js';
import { version } from '../util/version.js';

/** What a command's file exports. Nothing of it is loaded before the command is called. */
interface Command {
  options: Readonly<Record<string, Options>>;
  positionals?: (argv: Argv) => Argv;
  run(argv: unknown): Promise<void>;
}

const commands: readonly [usage: string, description: string, load: () => Promise<unknown>][] = [
  ['pretrain', 'Pretrain a Masked Autoencoder on a folder of images', () => import('./pretrain.js')],
  [
    'reconstruct [images..]',
    'Show what a checkpoint makes of masked images',
    () => import('./reconstruct.js'),
  ],
  [
    'export-encoder',
    'Write the encoder of a checkpoint as ONNX or safetensors',
    () => import('./export-encoder.js'),
  ],
  ['export', 'Write a checkpoint for transformers, timm or the published code', () => import('./export.js')],
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

/** Runs the command line. The only place that turns errors into exit codes. */
export async function main(args: string[]): Promise<void> {
  const cli = yargs(args)
    .scriptName('mae')
    .usage('$0 <command> [options]\n\nPretrains Masked Autoencoders with ONNX Runtime.')
    .version(version)
    .strict()
    .recommendCommands()
    .demandCommand(1, 'Name a command')
    .wrap(Math.min(100, process.stdout.columns ?? 100))
    .exitProcess(false)
    .fail((message, error) => {
      throw error ?? new UserError(`${message} (${nameOf(args)} --help lists what there is)`);
    });
  for (const [usage, description, load] of commands) {
    cli.command(
      usage,
      description,
      async (argv) => {
        const { options, positionals } = (await load()) as Command;
        return (positionals?.(argv) ?? argv).options(options);
      },
      async (argv) => ((await load()) as Command).run(argv),
    );
  }
  try {
    await cli.parseAsync();
  } catch (error) {
    report(error);
    process.exitCode = 1;
  }
}

/** `mae`, or `mae <command>` where the arguments name one. */
function nameOf([first = '']: string[]): string {
  return commands.some(([usage]) => usage.split(' ')[0] === first) ? `mae ${first}` : 'mae';
}

function report(error: unknown): void {
  const known = error instanceof Error && !isForUser(error) && outOfMemory(error) ? tooLarge(error) : error;
  if (isForUser(known)) console.error(`mae: ${known.message.replaceAll('\n', ' ')}`);
  else console.error('internal:', error);
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
