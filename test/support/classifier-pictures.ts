/** Pictures of the tiny model's size, and what an ONNX model gives for them by ONNX Runtime's own package. */
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import ort from 'onnxruntime-node';
import sharp from 'sharp';
import { tinyModel } from './cli-files.js';
import { randomBytes } from './random.js';

const size = tinyModel.inputSize;

export const pictureNames = ['a.png', 'b.png', 'deep/er/c.png', 'deep/er/d.png', 'e.png'] as const;

/** Noise, brighter from one to the next: uint8 [H, W, 3] each. */
export const pictures: readonly Uint8Array[] = pictureNames.map((_, i) =>
  randomBytes(40 + i, size * size * 3).map((value) => (value * (i + 1)) / pictureNames.length),
);

/** A crop of 1 leaves them as they are. */
export async function writePictures(folder: string): Promise<void> {
  for (const [i, name] of pictureNames.entries())
    await writePng(join(folder, name), pictures[i]!, size, size);
}

export async function writePng(path: string, data: Uint8Array, width: number, height: number): Promise<void> {
  mkdirSync(dirname(path), { recursive: true });
  await sharp(data, { raw: { width, height, channels: 3 } })
    .png()
    .toFile(path);
}

const mean = [0.485, 0.456, 0.406];
const deviation = [0.229, 0.224, 0.225];

/** (x/255 − mean) / deviation, the channels first. */
function pixelValues(image: Uint8Array): Float32Array {
  const area = image.length / 3;
  return Float32Array.from({ length: image.length }, (_, i) => {
    const channel = Math.floor(i / area);
    return (image[(i % area) * 3 + channel]! / 255 - mean[channel]!) / deviation[channel]!;
  });
}

/** The first output. */
export async function runOnnx(
  path: string,
  images: readonly Uint8Array[],
): Promise<{ dims: readonly number[]; data: Float32Array }> {
  const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1 });
  const values = Float32Array.from(images.flatMap((image) => [...pixelValues(image)]));
  const outputs = await session.run({
    pixel_values: new ort.Tensor('float32', values, [images.length, 3, size, size]),
  });
  const { dims, data } = outputs[session.outputNames[0]!]!;
  await session.release();
  return { dims, data: data as Float32Array };
}
