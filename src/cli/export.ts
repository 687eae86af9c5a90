import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Options } from 'yargs';
import { layerNormEps } from '../model/config.js';
import { layerNormEpsilon } from '../model/layers.js';
import { encoderParameters, maeParameters, type ParameterSpec } from '../model/parameters.js';
import { bytesOf } from '../util/bytes.js';
import { explained, writeJsonAtomically } from '../weights/checkpoint/durable-files.js';
import { type TensorToWrite, writeSafetensors } from '../weights/checkpoint/safetensors.js';
import { modelMetadata } from '../weights/foreign/describe-model.js';
import { toTransformersNames } from '../weights/foreign/tensor-names.js';
import { timmConfig } from '../weights/foreign/timm-config.js';
import { transformersConfig } from '../weights/foreign/transformers-config.js';
import { loadWeights, type Weights } from '../weights/foreign/weights.js';
import { checkpointFlag, outputFlag } from './common-flags.js';
import { type Arguments, text } from './flags.js';

export const options = {
  checkpoint: checkpointFlag,
  format: {
    choices: ['hf', 'mae', 'timm'],
    demandOption: true,
    requiresArg: true,
    coerce: text('format'),
    describe: 'hf: a folder of transformers’ ViTMAE; mae: the published names; timm: the encoder for timm',
  },
  output: outputFlag('Folder to write: config.json and model.safetensors'),
} as const satisfies Record<string, Options>;

type Format = 'hf' | 'mae' | 'timm';

/** What a folder of each format holds. */
interface Exported {
  readonly config: Record<string, unknown>;
  readonly metadata: Record<string, string>;
  readonly tensors: TensorToWrite[];
}

/** Writes a model for other libraries, and for us to read again: the same weights give the same bytes. */
export async function run(argv: Arguments<typeof options>): Promise<void> {
  const { output } = argv;
  const format = argv.format as Format;
  const weights = await loadWeights(argv.checkpoint, (config, hasDecoder) =>
    hasDecoder && format !== 'timm' ? maeParameters(config) : encoderParameters(config),
  );
  for (const note of weights.notes) console.error(note);
  if (format !== 'timm' && !weights.hasDecoder) {
    console.error(`${weights.path} has no decoder: the encoder alone is written`);
  }
  const epsilon = layerNormEps(weights.config);
  if (format === 'timm' && epsilon !== layerNormEpsilon) {
    console.error(
      `timm's layer norms add ${layerNormEpsilon}, those of this model ${epsilon}: set norm_layer in timm`,
    );
  }
  const { config, metadata, tensors } = exporters[format](weights);
  try {
    await mkdir(output, { recursive: true });
    await writeSafetensors(join(output, 'model.safetensors'), tensors, metadata);
    await writeJsonAtomically(join(output, 'config.json'), config);
  } catch (error) {
    throw explained(error, 'export', `to write into ${output}`);
  }
  console.log(`wrote ${join(output, 'config.json')} and ${join(output, 'model.safetensors')}`);
}

const exporters: Record<Format, (weights: Weights) => Exported> = {
  hf: (weights) => ({
    config: transformersConfig(weights, !weights.hasDecoder),
    metadata: { format: 'pt', 'mae.step': String(weights.step) },
    tensors: specsOf(weights).flatMap((spec) => transformersTensors(spec, weights)),
  }),
  mae: (weights) => ({
    config: { ...weights.config },
    metadata: modelMetadata({ ...weights, model: weights.config }, weights.step),
    tensors: specsOf(weights).map((spec) => tensorOf(spec, weights)),
  }),
  timm: (weights) => ({
    config: timmConfig(weights.config),
    metadata: { format: 'pt', 'mae.step': String(weights.step) },
    tensors: encoderParameters(weights.config).map((spec) => tensorOf(spec, weights)),
  }),
};

function specsOf({ config, hasDecoder }: Weights): ParameterSpec[] {
  return hasDecoder ? maeParameters(config) : encoderParameters(config);
}

function tensorOf({ name, shape }: ParameterSpec, { parameters }: Weights): TensorToWrite {
  return { name, dtype: 'F32', shape, data: bytesOf(parameters.get(name)!) };
}

/** One tensor, or the rows of queries, keys and values as three. */
function transformersTensors({ name, shape }: ParameterSpec, weights: Weights): TensorToWrite[] {
  const names = toTransformersNames(name, !weights.hasDecoder);
  const data = weights.parameters.get(name)!;
  const length = data.length / names.length;
  const partShape = [shape[0]! / names.length, ...shape.slice(1)];
  return names.map((part, i) => ({
    name: part,
    dtype: 'F32',
    shape: partShape,
    data: bytesOf(data.subarray(i * length, (i + 1) * length)),
  }));
}
