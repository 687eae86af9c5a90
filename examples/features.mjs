// Features of pictures in Node: npm install onnxruntime-node sharp
//
//   node features.mjs FOLDER OF mae export --format web, PICTURE …
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import sharp from 'sharp';

const [folder, ...pictures] = process.argv.slice(2);
const config = JSON.parse(readFileSync(join(folder, 'preprocessor_config.json'), 'utf8'));
const {
  crop_size: { height, width },
  image_mean: mean,
  image_std: std,
} = config;
const session = await InferenceSession.create(join(folder, 'onnx', 'model.onnx'));

for (const picture of pictures) {
  const pixels = await sharp(picture) // the middle of the picture, upright
    .rotate()
    .resize(width, height, { fit: 'cover', kernel: 'cubic' })
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer();
  const area = height * width;
  const values = new Float32Array(3 * area); // row, column, channel → channel, row, column
  for (let i = 0; i < values.length; i++) {
    const channel = Math.floor(i / area);
    values[i] = (pixels[(i % area) * 3 + channel] / 255 - mean[channel]) / std[channel];
  }
  const input = new Tensor('float32', values, [1, 3, height, width]);
  const { pooler_output: features } = await session.run({ pixel_values: input });
  console.log(JSON.stringify({ picture, features: [...features.data] }));
}
