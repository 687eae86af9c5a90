import { UserError } from '../util/errors.js';

/** The sizes of a Masked Autoencoder. The JSON files of `models/` hold these fields, and a `description` for people. */
export interface ModelConfig {
  /** Height and width of the input in pixels: one number for both, or [height, width]. */
  inputSize: number | readonly [height: number, width: number];
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
  /** Epsilon of every layer norm; 1e-6, the paper's, where it is not given. */
  layerNormEps?: number;
}

/** The epsilon of every layer norm of the published models (timm's ViT). */
export const layerNormEpsilon = 1e-6;

/** The epsilon of every layer norm of a model. */
export function layerNormEps(config: ModelConfig): number {
  return config.layerNormEps ?? layerNormEpsilon;
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

/** Checks the fields of a model and how they fit together; `source` names the file in errors. A `description` is dropped. */
export function parseModelConfig(value: unknown, source: string): ModelConfig {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UserError(`${source}: expected a JSON object with ${fields.join(', ')}`);
  }
  const record = value as Record<string, unknown>;
  for (const key of Object.keys(record)) {
    if (!(fields as readonly string[]).includes(key) && key !== 'layerNormEps' && key !== 'description') {
      throw new UserError(`${source}: unknown field "${key}"; expected ${fields.join(', ')}`);
    }
  }
  for (const field of fields) {
    const number = record[field];
    if (field === 'inputSize' && Array.isArray(number)) continue; // checkModelConfig looks at both

    const whole = field === 'mlpRatio' || Number.isInteger(number);
    if (typeof number !== 'number' || !(number > 0) || number > 65536 || !whole) {
      throw new UserError(
        `${source}: expected "${field}" to be a positive number, got ${JSON.stringify(number)}`,
      );
    }
  }
  const config = Object.fromEntries(fields.map((field) => [field, record[field]])) as unknown as ModelConfig;
  const epsilon = record['layerNormEps'];
  if (epsilon !== undefined) {
    if (typeof epsilon !== 'number' || !(epsilon > 0 && epsilon < 1)) {
      throw new UserError(
        `${source}: expected "layerNormEps" to be a small positive number, got ${JSON.stringify(epsilon)}`,
      );
    }
    if (epsilon !== layerNormEpsilon) config.layerNormEps = epsilon;
  }
  checkModelConfig(config, source);
  return config;
}

/** Throws a UserError where sizes do not fit together. */
export function checkModelConfig(config: ModelConfig, source: string): void {
  checkInputSize(config, source);
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

/** The model for images of another size; a UserError where its patches do not fit into them. */
export function withInputSize(config: ModelConfig, inputSize: ModelConfig['inputSize']): ModelConfig {
  const resized = { ...config, inputSize };
  checkModelConfig(resized, '--input-size');
  return resized;
}

function checkInputSize({ inputSize, patchSize }: ModelConfig, source: string): void {
  const sides = typeof inputSize === 'number' ? [inputSize] : inputSize;
  const got = sides.join('x');
  if (
    !(
      sides.length <= 2 &&
      sides.length > 0 &&
      sides.every((side) => Number.isSafeInteger(side) && side <= 65536)
    )
  ) {
    throw new UserError(`${source}: expected an input size in pixels or a height and a width, got ${got}`);
  }
  if (sides.some((side) => side < patchSize)) {
    throw new UserError(
      `${source}: expected images of at least one patch (${patchSize} px), got an input size of ${got}`,
    );
  }
  if (sides.some((side) => side % patchSize !== 0)) {
    const near = sides.map((side) => Math.round(side / patchSize) * patchSize).join('x');
    throw new UserError(
      `${source}: expected an input size divisible by the patch size ${patchSize}, got ${got}; use --input-size ${near}`,
    );
  }
}

/** Height and width of the input in pixels. */
export function imageSize({ inputSize }: ModelConfig): { height: number; width: number } {
  const [height, width] = typeof inputSize === 'number' ? [inputSize, inputSize] : inputSize;
  return { height, width };
}

/** `224 px` or `224 × 160 px`, height first. */
export function formatInputSize(config: ModelConfig): string {
  const { height, width } = imageSize(config);
  return height === width ? `${height} px` : `${height} × ${width} px`;
}

/** Rows and columns of patches. */
export function patchGrid(config: ModelConfig): { rows: number; columns: number } {
  const { height, width } = imageSize(config);
  return { rows: height / config.patchSize, columns: width / config.patchSize };
}

/** L, the number of patches of an image. */
export function patchCount(config: ModelConfig): number {
  const { rows, columns } = patchGrid(config);
  return rows * columns;
}
