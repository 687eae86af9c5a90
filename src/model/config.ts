import { UserError } from '../util/errors.js';

/** The sizes of a Masked Autoencoder. The JSON files of `models/` hold exactly these fields. */
export interface ModelConfig {
  /** Height and width of the input in pixels. */
  inputSize: number;
  patchSize: number;
  /** Encoder width D, number of blocks and of heads. */
  embedDim: number;
  depth: number;
  numHeads: number;
  /** Decoder width E, number of blocks and of heads. */
  decoderEmbedDim: number;
  decoderDepth: number;
  decoderNumHeads: number;
  /** Hidden width of the MLPs as a multiple of the width. */
  mlpRatio: number;
}

const fields = [
  'inputSize',
  'patchSize',
  'embedDim',
  'depth',
  'numHeads',
  'decoderEmbedDim',
  'decoderDepth',
  'decoderNumHeads',
  'mlpRatio',
] as const satisfies readonly (keyof ModelConfig)[];

/** Checks the fields of a model and how they fit together; `source` names the file in errors. */
export function parseModelConfig(value: unknown, source: string): ModelConfig {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UserError(`${source}: expected a JSON object with ${fields.join(', ')}`);
  }
  const record = value as Record<string, unknown>;
  for (const key of Object.keys(record)) {
    if (!(fields as readonly string[]).includes(key)) {
      throw new UserError(`${source}: unknown field "${key}"; expected ${fields.join(', ')}`);
    }
  }
  for (const field of fields) {
    const number = record[field];
    const whole = field === 'mlpRatio' || Number.isInteger(number);
    if (typeof number !== 'number' || !(number > 0) || number > 65536 || !whole) {
      throw new UserError(
        `${source}: expected "${field}" to be a positive number, got ${JSON.stringify(number)}`,
      );
    }
  }
  const config = Object.fromEntries(fields.map((field) => [field, record[field]])) as unknown as ModelConfig;
  checkModelConfig(config, source);
  return config;
}

/** Throws a UserError where sizes do not fit together. */
export function checkModelConfig(config: ModelConfig, source: string): void {
  const { inputSize, patchSize } = config;
  if (inputSize < patchSize) {
    throw new UserError(
      `${source}: expected images of at least one patch (${patchSize} px), got an input size of ${inputSize}`,
    );
  }
  if (inputSize % patchSize !== 0) {
    const near = Math.round(inputSize / patchSize) * patchSize;
    throw new UserError(
      `${source}: expected an input size divisible by the patch size ${patchSize}, got ${inputSize}; use --input-size ${near}`,
    );
  }
  for (const [width, heads, what] of [
    [config.embedDim, config.numHeads, 'embedDim'],
    [config.decoderEmbedDim, config.decoderNumHeads, 'decoderEmbedDim'],
  ] as const) {
    if (width % heads !== 0 || width % 4 !== 0) {
      throw new UserError(
        `${source}: expected ${what} divisible by its ${heads} heads and by 4 (2-D positions), got ${width}`,
      );
    }
  }
  if (
    !Number.isInteger(config.embedDim * config.mlpRatio) ||
    !Number.isInteger(config.decoderEmbedDim * config.mlpRatio)
  ) {
    throw new UserError(`${source}: expected mlpRatio × width to be whole, got ${config.mlpRatio}`);
  }
}

/** L, the number of patches of an image. */
export function patchCount({ inputSize, patchSize }: ModelConfig): number {
  return (inputSize / patchSize) ** 2;
}

/** K, the number of patches the encoder sees: ⌊L·(1 − maskRatio)⌋, as the paper's code counts. */
export function keptCount(config: ModelConfig, maskRatio: number): number {
  return Math.floor(patchCount(config) * (1 - maskRatio));
}
