/**
 * Crops, flips and pixels. Job: `output` (safetensors);
 * `sizes`, [width, height] of pictures, and `draws`: crops.<i> [draws, left top width height] and flips.<i> [draws], and
 * crops.one.<i> of `oneDraw`, options of a crop of one try;
 * `pixels`: lists of { file, box: [left, top, width, height], flip }, `side`: pixels.<i> uint8 [list, side, side, 3] and
 * scale.<i>, by what the decoder divided the picture while it decoded it;
 * `evaluation`: files, `side` and `share`: evaluation [files, side, side, 3], their middles.
 */
import { readFileSync } from 'node:fs';
import { centerCropBox, randomFlip, randomResizedCrop } from '../../dist/data/augment/crop.js';
import { pretrainAugmentation } from '../../dist/data/augmentation.js';
import { ImageDecoder } from '../../dist/data/decode/decode.js';
import { BicubicResampler } from '../../dist/data/resample.js';
import { bicubicMargin } from '../../dist/data/row-filler.js';
import { RandomStream } from '../../dist/util/random.js';
import { readJob, writeTensors } from './ours.mjs';

const { output, sizes, draws, pixels, oneDraw, evaluation } = readJob();
const { crop: cropOptions, flipProbability } = pretrainAugmentation;
const tensors = new Map();

for (const [i, [width, height]] of sizes.entries()) {
  const crops = new Float64Array(draws * 4);
  const flips = new Uint8Array(draws);
  for (let position = 0; position < draws; position++) {
    // as the loader draws them: the crop of a picture, then its flip, from one stream
    const random = new RandomStream(i, 'augment', 0, position);
    const crop = randomResizedCrop(random, { width, height }, cropOptions);
    crops.set([crop.left, crop.top, crop.width, crop.height], position * 4);
    flips[position] = Number(randomFlip(random, flipProbability));
  }
  tensors.set(`crops.${i}`, { shape: [draws, 4], data: crops });
  tensors.set(`flips.${i}`, { shape: [draws], data: flips });
  const one = Array.from({ length: draws }, (_, position) => {
    const crop = randomResizedCrop(new RandomStream(i, 'augment', 1, position), { width, height }, oneDraw);
    return [crop.left, crop.top, crop.width, crop.height];
  });
  tensors.set(`crops.one.${i}`, { shape: [draws, 4], data: Float64Array.from(one.flat()) });
}

const decoder = new ImageDecoder();
const resampler = new BicubicResampler();
for (const [i, { items, side }] of pixels.entries()) {
  const bytes = side * side * 3;
  const data = new Uint8Array(items.length * bytes);
  const scales = new Float64Array(items.length);
  const target = { height: side, width: side };
  for (const [k, { file, box, flip }] of items.entries()) {
    const [left, top, width, height] = box;
    const picture = await decoder.decodeRegion(readFileSync(file), { left, top, width, height }, target);
    const out = data.subarray(k * bytes, (k + 1) * bytes);
    resampler.resample(picture, picture.box, out, side, side, { flip, clipToBox: true });
    scales[k] = width / picture.box.width;
  }
  tensors.set(`pixels.${i}`, { shape: [items.length, side, side, 3], data });
  tensors.set(`scale.${i}`, { shape: [items.length], data: scales });
}
{
  const { files, side, share } = evaluation;
  const target = { height: side, width: side };
  const data = new Uint8Array(files.length * side * side * 3);
  for (const [k, file] of files.entries()) {
    const bytes = readFileSync(file);
    const picture = await decoder.header(bytes, false);
    const box = centerCropBox(picture, target, share);
    const region = await decoder.decodeRegion(bytes, box, target, bicubicMargin(box, target), picture);
    const length = side * side * 3;
    resampler.resample(region, region.box, data.subarray(k * length, (k + 1) * length), side, side);
  }
  tensors.set('evaluation', { shape: [files.length, side, side, 3], data });
}
decoder.close();
await writeTensors(output, tensors);
