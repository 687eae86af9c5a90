/** The sizes of a model from the shapes of its tensors, where no file describes it. */
import { checkModelConfig, imageSize, type ModelConfig } from '../../model/config.js';
import { loadModelConfig, presetNames, publishedMaskRatio, publishedModel } from '../../model/presets.js';
import { UserError } from '../../util/errors.js';
import { formatShape } from '../../util/shape.js';
import { type HeadlessPart, type Heads, headsOf } from './heads.js';
import type { ModelInfo } from './model-info.js';
import type { WeightSource } from './weight-source.js';

/**
 * The sizes that shapes show, with what they cannot show: `headsOf` says how heads are guessed where they are not given. A
 * decoder that the file lacks is that of the preset with the same encoder, else the paper's. Mask ratio and normalisation
 * are those of the options in a training checkpoint, else the paper's ratio and plain pixels (the published
 * mae_visualize_* predict pixels).
 *
 * @param readsDecoder whether a decoder in the file is wanted: else nobody has to know its heads
 */
export function inferModel(
  source: WeightSource,
  hasDecoder: boolean,
  given: Heads = {},
  readsDecoder = hasDecoder,
): ModelInfo {
  const { path, metadata } = source;
  const notes: string[] = [];
  const { embedDim, patchSize } = patchesOf(source);
  const depth = depthOf(source, 'blocks');
  const mlpRatio = (shapeOf(source, 'blocks.0.mlp.fc1.weight')[0] ?? 0) / embedDim;
  const inputSize = inputSizeOf(source, patchSize);
  const decoder = hasDecoder ? decoderShape(source) : undefined;
  const presets = presetsLike({ embedDim, depth, ...decoder });
  const encoder = { part: 'encoder', width: embedDim, path, presets: presets.encoder } as const;
  const numHeads = headsOf(encoder, given.numHeads, notes);
  const sizes = { inputSize, patchSize, embedDim, depth, mlpRatio, numHeads };
  const config: ModelConfig =
    decoder === undefined
      ? { ...sizes, ...usualDecoder(sizes) }
      : { ...sizes, ...decoder, decoderNumHeads: decoderHeads() };
  checkModelConfig(config, path);
  const ratio = Number(metadata['mask_ratio'] ?? publishedMaskRatio);
  return {
    config,
    maskRatio: ratio > 0 && ratio < 1 ? ratio : publishedMaskRatio,
    normPixLoss: metadata['norm_pix_loss'] === 'true',
    step: 0,
    notes,
  };

  function decoderHeads(): number {
    if (!readsDecoder) return presets.decoder[0]?.heads ?? 1;
    const width = decoder!.decoderEmbedDim;
    const part = { part: 'decoder', width, path, presets: presets.decoder } as const;
    return headsOf(part, given.decoderNumHeads, notes);
  }
}

/** Presets whose encoder, and those whose decoder, has these widths and depths. */
function presetsLike(
  sizes: Pick<ModelConfig, 'embedDim' | 'depth'> & Partial<DecoderShape>,
): Record<'encoder' | 'decoder', HeadlessPart['presets']> {
  const all = presetNames().map((name) => {
    const preset = loadModelConfig(name);
    const isEncoder = preset.embedDim === sizes.embedDim && preset.depth === sizes.depth;
    const isDecoder =
      preset.decoderEmbedDim === sizes.decoderEmbedDim && preset.decoderDepth === sizes.decoderDepth;
    return { name, preset, isEncoder, isDecoder, isWhole: isEncoder && isDecoder };
  });
  return {
    encoder: all
      .filter(({ isEncoder }) => isEncoder)
      .map(({ name, preset, isWhole }) => ({ name, heads: preset.numHeads, isWhole })),
    decoder: all
      .filter(({ isDecoder }) => isDecoder)
      .map(({ name, preset, isWhole }) => ({ name, heads: preset.decoderNumHeads, isWhole })),
  };
}

/** The decoder of the preset with this encoder, else the paper's. */
export function usualDecoder(
  encoder: Pick<ModelConfig, 'patchSize' | 'embedDim' | 'depth' | 'numHeads'>,
): Pick<ModelConfig, 'decoderEmbedDim' | 'decoderDepth' | 'decoderNumHeads'> {
  const fields = ['embedDim', 'depth', 'numHeads'] as const;
  const same = presetNames()
    .map((name) => loadModelConfig(name))
    .filter((preset) => fields.every((field) => preset[field] === encoder[field]));
  const preset = same.find(({ patchSize }) => patchSize === encoder.patchSize) ?? same[0] ?? paper();
  const { decoderEmbedDim, decoderDepth, decoderNumHeads } = preset;
  return { decoderEmbedDim, decoderDepth, decoderNumHeads };
}

function paper(): ModelConfig {
  return loadModelConfig(publishedModel);
}

function shapeOf({ tensors, path }: WeightSource, name: string): readonly number[] {
  const shape = tensors.get(name)?.shape;
  if (shape !== undefined) return shape;
  const names = [...tensors.keys()];
  const some = names.slice(0, 5).join(', ') + (names.length > 5 ? ', …' : '');
  throw new UserError(
    `checkpoint: expected ${name} in ${path}, got ${names.length} other tensors (${some}); give the weights of a Masked Autoencoder`,
  );
}

/** Width and side of the patches, from the embedding [D, 3, p, p]. */
function patchesOf(source: WeightSource): Pick<ModelConfig, 'embedDim' | 'patchSize'> {
  const shape = shapeOf(source, 'patch_embed.proj.weight');
  const [embedDim = 0, channels, patchSize = 0, patchWidth] = shape;
  if (shape.length !== 4 || channels !== 3 || patchSize !== patchWidth || embedDim * patchSize === 0) {
    throw new UserError(
      `checkpoint: expected patch_embed.proj.weight of ${source.path} to be [width, 3, patch, patch], got ${formatShape(shape)}; ` +
        'other models are not supported',
    );
  }
  return { embedDim, patchSize };
}

type DecoderShape = Pick<ModelConfig, 'decoderEmbedDim' | 'decoderDepth'>;

function decoderShape(source: WeightSource): DecoderShape {
  return {
    decoderEmbedDim: shapeOf(source, 'decoder_embed.weight')[0] ?? 0,
    decoderDepth: depthOf(source, 'decoder_blocks'),
  };
}

/** One more than the last block's number. Blocks without a gap are no more than the tensors of the file. */
function depthOf({ tensors, path }: WeightSource, name: string): number {
  const pattern = new RegExp(`^${name}\\.(\\d{1,9})\\.`);
  const indices = new Set<number>();
  for (const tensor of tensors.keys()) {
    const match = pattern.exec(tensor);
    if (match !== null) indices.add(Number(match[1]));
  }
  for (let i = 0; i < indices.size; i++) {
    if (!indices.has(i))
      throw new UserError(`checkpoint: expected ${name}.${i} in ${path}, got none; it is incomplete`);
  }
  if (indices.size === 0)
    throw new UserError(`checkpoint: expected ${name}.0 in ${path}, got none; it is incomplete`);
  return indices.size;
}

/** Pixels of square images from pos_embed [1, 1 + L, D]; nearly the paper's where the file has no such table. */
function inputSizeOf({ tensors, path }: WeightSource, patchSize: number): number {
  const shape = tensors.get('pos_embed')?.shape;
  if (shape === undefined) {
    return Math.max(1, Math.round(imageSize(paper()).height / patchSize)) * patchSize;
  }
  const patches = (shape[1] ?? 0) - 1;
  const side = Math.round(Math.sqrt(Math.max(0, patches)));
  if (shape.length !== 3 || side === 0 || side * side !== patches) {
    throw new UserError(
      `checkpoint: expected pos_embed of ${path} to be [1, 1 + side², width], got ${formatShape(shape)}; ` +
        'for images that are not square, give a checkpoint of mae or a folder with a config.json of transformers',
    );
  }
  return side * patchSize;
}
