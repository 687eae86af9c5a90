import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { attentionGraph, attentionParameters } from '../../artifact/attention-graph.js';
import { outputsOf } from '../../artifact/graphs.js';
import { lowerGraph } from '../../compiler/lowering/lower.js';
import { encodeModel } from '../../compiler/onnx/encode.js';
import { fitImage } from '../../data/load-image.js';
import { imageSize, type ModelConfig, patchGrid } from '../../model/config.js';
import { imageInputs } from '../../model/mask.js';
import type { AttentionMaps } from '../../page/report-data.js';
import type { Runtime } from '../../runtime/runtime.js';
import { Evaluator } from '../../train/engine/evaluator.js';
import { mixed, TileCanvas, viridisColour } from './canvas.js';

/** Pictures that are shown, and about how many pixels a tile has a side. */
const mostPictures = 4;
const tileSide = 112;

export interface NamedImage {
  readonly name: string;
  /** uint8 [H, W, 3] */
  readonly image: Uint8Array;
}

/** Some of the pictures of a run's sheets, spread over them; those that can no longer be read are left out. */
export async function sheetImages(
  folder: string,
  names: readonly string[],
  config: ModelConfig,
  exifRotation: boolean | undefined,
): Promise<NamedImage[]> {
  const images: NamedImage[] = [];
  const step = Math.max(1, Math.floor(names.length / mostPictures));
  for (let i = 0; i < names.length && images.length < mostPictures; i += step) {
    try {
      const bytes = await readFile(join(folder, names[i]!));
      const image = await fitImage(bytes, { ...imageSize(config), fit: 'crop', exifRotation });
      images.push({ name: basename(names[i]!), image });
    } catch {
      // gone, or another file now
    }
  }
  return images;
}

/** The attention of the class token in the last block: float32 [heads, 1 + L] of each image. */
export async function classAttention(
  runtime: Runtime,
  config: ModelConfig,
  parameters: ReadonlyMap<string, Float32Array>,
  images: readonly Uint8Array[],
): Promise<Float32Array[]> {
  const graph = lowerGraph(attentionGraph(config, 1), { lacks: runtime.device.lacks });
  const description = {
    inputs: imageInputs(config, 1),
    outputs: outputsOf(graph),
    parameters: attentionParameters(config),
  };
  const evaluator = new Evaluator(runtime, encodeModel(graph), description, (name) => parameters.get(name)!);
  try {
    const maps: Float32Array[] = [];
    for (const image of images) {
      await evaluator.run({ images: image });
      maps.push(evaluator.outputs['attention']!.slice());
    }
    return maps;
  } finally {
    evaluator.release();
  }
}

/** A row for each image: itself, and what each head looks at, bright and yellow where it looks most. */
export function attentionPictures(
  config: ModelConfig,
  images: readonly NamedImage[],
  attention: readonly Float32Array[],
): AttentionMaps {
  const { numHeads: heads, depth: block } = config;
  return {
    heads,
    block,
    images: images.map(({ name, image }, i) => ({ name, ...attentionRow(config, image, attention[i]!) })),
  };
}

function attentionRow(config: ModelConfig, image: Uint8Array, attention: Float32Array) {
  const { height, width } = imageSize(config);
  const { rows, columns } = patchGrid(config);
  const scale = tileSide / Math.max(height, width);
  const tile = { width: Math.round(width * scale), height: Math.round(height * scale) };
  const canvas = new TileCanvas(tile, 1 + config.numHeads, 1 + config.numHeads, 2);
  const pixel = (y: number, x: number) => {
    const [fromY, fromX] = [Math.floor((y * height) / tile.height), Math.floor((x * width) / tile.width)];
    const at = (fromY * width + fromX) * 3;
    return [image[at]!, image[at + 1]!, image[at + 2]!] as const;
  };
  canvas.fill(0, pixel);
  const tokens = 1 + rows * columns;
  for (let head = 0; head < config.numHeads; head++) {
    const patches = attention.subarray(head * tokens + 1, (head + 1) * tokens);
    const most = patches.reduce((a, b) => Math.max(a, b), 1e-12);
    canvas.fill(1 + head, (y, x) => {
      const [row, column] = [Math.floor((y * rows) / tile.height), Math.floor((x * columns) / tile.width)];
      const [red, green, blue] = pixel(y, x);
      const grey = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
      return mixed([grey, grey, grey], viridisColour(patches[row * columns + column]! / most), 0.65);
    });
  }
  return canvas.picture();
}
