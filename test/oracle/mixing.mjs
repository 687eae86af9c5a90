/**
 * Random erasing, mixup, CutMix and drop path. Job: `output` (safetensors), `draws` and `size`, [height, width];
 * `erasing`, a probability: boxes [draws, 5], whether and left, top, width, height, and noise, normalised levels in boxes;
 * `mixes`, lists of options: mixes.<i> [draws, 6], whether, whether cut, λ of mixup or real, left, top and width of the box;
 * `cuts`, [λ, y, x]: cuts [cuts, 5], the real λ and left, top, width, height, and rows.<i>, the first of them as inputs;
 * `rates`: drop-path [draws, 2·rates].
 */
import { drawDropPath } from '../../dist/data/augment/drop-path.js';
import { drawErasedBox, erase } from '../../dist/data/augment/erasing.js';
import { cutBox, drawMix, writeMix } from '../../dist/data/augment/mix.js';
import { normalizeByte } from '../../dist/model/imagenet.js';
import { RandomStream } from '../../dist/util/random.js';
import { readJob, writeTensors } from './ours.mjs';

const {
  output,
  draws,
  size: [height, width],
  erasing,
  mixes,
  cuts,
  rowCount,
  rates,
} = readJob();
const size = { height, width };
const tensors = new Map();
const save = (name, rows) =>
  tensors.set(name, { shape: [rows.length, rows[0].length], data: Float64Array.from(rows.flat()) });

const noise = [];
save(
  'boxes',
  Array.from({ length: draws }, (_, position) => {
    const random = new RandomStream(3, 'erasing', 0, position);
    const box = drawErasedBox(random, size, erasing);
    if (!box) return [0, 0, 0, 0, 0];
    if (noise.length < 100_000) {
      const pixels = new Uint8Array(height * width * 3).fill(200);
      const added = new Float32Array(pixels.length);
      erase(random, pixels, added, width, box);
      // what the graph makes of them: the noise in the box, the picture beside it
      added.forEach((value, i) => {
        const [x, y] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width)];
        const isIn = x >= box.left && x < box.left + box.width && y >= box.top && y < box.top + box.height;
        if (isIn) noise.push(value + normalizeByte(pixels[i], i % 3));
        else if (value !== 0 || pixels[i] !== 200) throw new Error(`beside the box: ${value}, ${pixels[i]}`);
      });
    }
    return [1, box.left, box.top, box.width, box.height];
  }),
);
save('noise', [noise]);

for (const [i, options] of mixes.entries()) {
  const rows = Array.from({ length: draws }, (_, batch) => {
    const mix = drawMix(new RandomStream(i, 'mix', 0, batch), size, options);
    if (!mix) return [0, 0, 1, 0, 0, 0];
    const { left = 0, top = 0, width = 0 } = mix.box ?? {};
    return [1, Number(mix.box !== undefined), mix.lambda, left, top, width];
  });
  save(`mixes.${i}`, rows);
}

const cut = cuts.map(([lambda, y, x]) => cutBox(size, lambda, { y, x }));
save(
  'cuts',
  cut.map(({ lambda, box }) => [lambda, box.left, box.top, box.width, box.height]),
);
const asRow = (mix) => {
  const out = new Float32Array(2 + height + width);
  writeMix(out, size, mix);
  return { shape: [out.length], data: out };
};
for (let i = 0; i < rowCount; i++) {
  tensors.set(`rows.cutmix.${i}`, asRow(cut[i]));
  tensors.set(`rows.mixup.${i}`, asRow({ lambda: cuts[i][0] }));
}

save(
  'drop-path',
  Array.from({ length: draws }, (_, position) => {
    const out = new Float32Array(2 * rates.length);
    drawDropPath(new RandomStream(9, 'drop-path', 0, position), rates, out);
    return [...out];
  }),
);
await writeTensors(output, tensors);
