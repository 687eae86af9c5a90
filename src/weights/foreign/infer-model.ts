/** The sizes of a model from the shapes of its tensors, where no file describes it. */

import { checkModelConfig, type ModelConfig } from '../../model/config.js';
import { loadModelConfig, presetNames } from '../../model/presets.js';
import { UserError } from '../../util/errors.js';
import { formatShape } from '../../util/shape.js';
import type { ModelInfo } from './describe-model.js';
import type { WeightSource } from './open-weights.js';

/** The published recipe: the files of the paper's authors say nothing of their own. */
const publishedMaskRatio = 0.75;

/** Pixels of the paper's images, where a file has no position table either. */
const publishedInputSize = 224;

/**
 * The sizes that shapes show, with what they cannot show: the heads are those of the preset with the same width
 * and depth, else one for 64 of the width. A decoder that the file lacks is the preset's, else the paper's.
 * Mask ratio and normalisation are those of the options in a training checkpoint, else 0.75 and plain pixels (the
 * published mae_visualize_* predict pixels).
 */
export function inferModel(source: WeightSource, hasDecoder: boolean): ModelInfo {
  const { path, metadata } = source;
  const shapeOf = (name: string): readonly number[] => {
    const shape = source.tensors.get(name)?.shape;
    if (shape !== undefined) return shape;
    const names = [...source.tensors.keys()];
    const some = names.slice(0, 5).join(', ') + (names.length > 5 ? ', …' : '');
    throw new UserError(
      `checkpoint: expected ${name} in ${path}, got ${names.length} other tensors (${some}); give the weights of a Masked Autoencoder`,
    );
  };
  const patches = shapeOf('patch_embed.proj.weight'); // [D, 3, p, p]
  const [embedDim = 0, channels, patchSize = 0, patchWidth] = patches;
  if (patches.length !== 4 || channels !== 3 || patchSize !== patchWidth || embedDim * patchSize === 0) {
    throw new UserError(
      `checkpoint: expected patch_embed.proj.weight of ${path} to be [width, 3, patch, patch], got ${formatShape(patches)}; ` +
        'other models are not supported',
    );
  }
  const depth = depthOf(source, 'blocks');
  const mlpRatio = (shapeOf('blocks.0.mlp.fc1.weight')[0] ?? 0) / embedDim;
  const inputSize = inputSizeOf(source, patchSize);
  const presets = presetNames().map((name) => loadModelConfig(name));
  const preset = presets.find((one) => one.embedDim === embedDim && one.depth === depth);
  const encoder = { inputSize, patchSize, embedDim, depth, mlpRatio };
  const notes: string[] = [];
  /** Heads of a part of the model. */
  const heads = (width: number, found: number | undefined, what: string): number => {
    if (found !== undefined) return found;
    if (width % 64 !== 0) {
      throw new UserError(
        `checkpoint: expected ${path} to say how many heads its ${what} of width ${width} has, got neither a description, ` +
          'nor the sizes of a preset, nor a multiple of 64; give a folder with a config.json of transformers, or a checkpoint of mae',
      );
    }
    notes.push(`${path} does not say how many heads its ${what} has; ${width / 64} (width / 64) are used`);
    return width / 64;
  };
  const numHeads = heads(embedDim, preset?.numHeads, 'encoder');
  const config: ModelConfig = { ...encoder, numHeads, ...decoder() };
  checkModelConfig(config, path);
  const ratio = Number(metadata['mask_ratio'] ?? publishedMaskRatio);
  return {
    config,
    maskRatio: ratio > 0 && ratio < 1 ? ratio : publishedMaskRatio,
    normPixLoss: metadata['norm_pix_loss'] === 'true',
    step: 0,
    notes,
  };

  function decoder(): Pick<ModelConfig, 'decoderEmbedDim' | 'decoderDepth' | 'decoderNumHeads'> {
    if (!hasDecoder) {
      const { decoderEmbedDim = 512, decoderDepth = 8, decoderNumHeads = 16 } = preset ?? {};
      return { decoderEmbedDim, decoderDepth, decoderNumHeads };
    }
    const width = shapeOf('decoder_embed.weight')[0] ?? 0;
    const decoderDepth = depthOf(source, 'decoder_blocks');
    const same = presets.find((one) => one.decoderEmbedDim === width && one.decoderDepth === decoderDepth);
    return {
      decoderEmbedDim: width,
      decoderDepth,
      decoderNumHeads: heads(width, same?.decoderNumHeads, 'decoder'),
    };
  }
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
  if (shape === undefined) return Math.max(1, Math.round(publishedInputSize / patchSize)) * patchSize;
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
