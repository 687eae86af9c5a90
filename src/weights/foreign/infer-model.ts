/** The sizes of a model from the shapes of its tensors, where no file describes it. */
import { checkModelConfig, imageSize, type ModelConfig } from '../../model/config.js';
import { loadModelConfig, presetNames, publishedMaskRatio, publishedModel } from '../../model/presets.js';
import { UserError } from '../../util/errors.js';
import { formatShape } from '../../util/shape.js';
import type { ModelInfo } from './model-info.js';
import type { WeightSource } from './weight-source.js';

/**
 * The sizes that shapes show, with what they cannot show: the heads are those of the preset with the same width
 * and depth, else one for 64 of the width. A decoder that the file lacks is the preset's, else the paper's.
 * Mask ratio and normalisation are those of the options in a training checkpoint, else the paper's ratio and plain
 * pixels (the published mae_visualize_* predict pixels).
 */
export function inferModel(source: WeightSource, hasDecoder: boolean): ModelInfo {
  const { path, metadata } = source;
  const notes: string[] = [];
  const presets = presetNames().map((name) => loadModelConfig(name));
  const { embedDim, patchSize } = patchesOf(source);
  const depth = depthOf(source, 'blocks');
  const mlpRatio = (shapeOf(source, 'blocks.0.mlp.fc1.weight')[0] ?? 0) / embedDim;
  const inputSize = inputSizeOf(source, patchSize);
  const preset = presets.find((one) => one.embedDim === embedDim && one.depth === depth);
  const numHeads = preset?.numHeads ?? headsOf(embedDim, 'encoder', path, notes);
  const decoder = hasDecoder ? decoderOf(source, presets, notes) : decoderSizes(preset ?? paper());
  const config: ModelConfig = { inputSize, patchSize, embedDim, depth, mlpRatio, numHeads, ...decoder };
  checkModelConfig(config, path);
  const ratio = Number(metadata['mask_ratio'] ?? publishedMaskRatio);
  return {
    config,
    maskRatio: ratio > 0 && ratio < 1 ? ratio : publishedMaskRatio,
    normPixLoss: metadata['norm_pix_loss'] === 'true',
    step: 0,
    notes,
  };
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

/** One head for 64 of the width, with a note that this is a guess. */
function headsOf(width: number, part: string, path: string, notes: string[]): number {
  if (width % 64 !== 0) {
    throw new UserError(
      `checkpoint: expected ${path} to say how many heads its ${part} of width ${width} has, got neither a description, ` +
        'nor the sizes of a preset, nor a multiple of 64; give a folder with a config.json of transformers, or a checkpoint of mae',
    );
  }
  notes.push(`${path} does not say how many heads its ${part} has; ${width / 64} (width / 64) are used`);
  return width / 64;
}

type DecoderSizes = Pick<ModelConfig, 'decoderEmbedDim' | 'decoderDepth' | 'decoderNumHeads'>;

function decoderSizes({ decoderEmbedDim, decoderDepth, decoderNumHeads }: ModelConfig): DecoderSizes {
  return { decoderEmbedDim, decoderDepth, decoderNumHeads };
}

function decoderOf(source: WeightSource, presets: readonly ModelConfig[], notes: string[]): DecoderSizes {
  const width = shapeOf(source, 'decoder_embed.weight')[0] ?? 0;
  const decoderDepth = depthOf(source, 'decoder_blocks');
  const same = presets.find((one) => one.decoderEmbedDim === width && one.decoderDepth === decoderDepth);
  const decoderNumHeads = same?.decoderNumHeads ?? headsOf(width, 'decoder', source.path, notes);
  return { decoderEmbedDim: width, decoderDepth, decoderNumHeads };
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
