import type { Options } from 'yargs';
import { measureSpeeds, type PresetFacts, presetFacts, type Speed } from '../bench/models.js';
import { formatInputSize } from '../model/config.js';
import { computeFlags, deviceFlag, jsonFlag, noteThreads, threadsFlag } from './common-flags.js';
import type { Arguments } from './flags.js';
import { note, print } from './print.js';

/** Seconds that --measure may take, about. */
const budgetSeconds = 20;

export const options = {
  measure: {
    type: 'boolean',
    default: false,
    describe: `Also images a second on this machine: a few training steps of each, for about ${budgetSeconds} s; slower presets are estimated from the others`,
  },
  threads: threadsFlag,
  device: deviceFlag,
  ...computeFlags,
  json: jsonFlag('One line of JSON instead of a table'),
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  noteThreads(argv.threads);
  const presets = presetFacts();
  const speeds = argv.measure ? await measureSpeeds(presets, argv, budgetSeconds) : undefined;
  if (argv.json) {
    print(JSON.stringify({ models: presets.map((preset, i) => jsonOf(preset, speeds?.[i])) }));
    return;
  }
  printTable(presets, speeds);
  if (speeds === undefined) note('mae models --measure also tells how fast they are on this machine');
}

function jsonOf(preset: PresetFacts, speed: Speed | undefined): Record<string, unknown> {
  const { name, description, config, encoderParameters, parameters, patches, visible, flops } = preset;
  return {
    name,
    description,
    ...config,
    encoderParameters,
    parameters,
    patches,
    visible,
    flops,
    ...(speed && { imagesPerSecond: speed.imagesPerSecond, isMeasured: speed.isMeasured }),
  };
}

function printTable(presets: readonly PresetFacts[], speeds: readonly Speed[] | undefined): void {
  const rows = presets.map((preset, i) => cellsOf(preset, speeds?.[i]));
  const titles = ['model', 'input, patch', 'encoder', 'decoder', 'parameters', 'sees', 'a step'];
  const table = [speeds === undefined ? titles : [...titles, 'speed here'], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  for (const [i, row] of table.entries()) {
    print(
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    );
    if (i > 0) print(`  ${presets[i - 1]!.description}`);
  }
  print('');
  print('encoder, decoder: width × blocks × heads; parameters: of the encoder and of all, in millions;');
  print('sees: patches that the encoder is given, of all; a step: GFLOP an image in matrix products');
}

function cellsOf({ name, config, flops, ...preset }: PresetFacts, speed: Speed | undefined): string[] {
  const millions = (count: number) => (count / 1e6).toFixed(1);
  const { embedDim, depth, numHeads, decoderEmbedDim, decoderDepth, decoderNumHeads } = config;
  return [
    name,
    `${formatInputSize(config)}, ${config.patchSize}`,
    `${embedDim}×${depth}×${numHeads}`,
    `${decoderEmbedDim}×${decoderDepth}×${decoderNumHeads}`,
    `${millions(preset.encoderParameters)}, ${millions(preset.parameters)}`,
    `${preset.visible} of ${preset.patches}`,
    (flops / 1e9).toPrecision(3),
    ...(speed === undefined
      ? []
      : [`${speed.isMeasured ? '' : 'about '}${speed.imagesPerSecond.toPrecision(2)} img/s`]),
  ];
}
