/** The data of a report, against logs and weights that say the same in another way. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { openEncoder, upToLayer } from '../../src/jobs/open-encoder.js';
import { classAttention } from '../../src/jobs/report/attention.js';
import { shortNames } from '../../src/jobs/report/collect.js';
import { cosines, filterOrder, filterTiles, relativeChange } from '../../src/jobs/report/filters.js';
import { optionRows } from '../../src/jobs/report/options.js';
import { escapeHtml, jsonInHtml } from '../../src/jobs/report/page.js';
import { readRunLog, throughputOf } from '../../src/jobs/report/run-log.js';
import { ThinCurve } from '../../src/jobs/report/thin-curve.js';
import type { ModelConfig } from '../../src/model/config.js';
import { encoderParameters } from '../../src/model/parameters.js';
import { logRange, logTicks } from '../../src/page/log-scale.js';
import { smoothed } from '../../src/page/smooth.js';
import { Runtime } from '../../src/runtime/runtime.js';
import { sizeOf } from '../../src/util/shape.js';
import { tinyModel } from '../support/cli-files.js';

const folder = mkdtempSync(join(tmpdir(), 'mae-report-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('thinned curves', () => {
  test('a short curve keeps all its points', () => {
    const thin = new ThinCurve(4);
    const values = [3, 1, 4, 1, 5, 9, 2, 6];
    for (const [i, value] of values.entries()) thin.add(i + 1, value, i / 10);
    expect(thin.curve('train/loss')).toEqual({
      tag: 'train/loss',
      step: [1, 2, 3, 4, 5, 6, 7, 8],
      value: values,
      hours: values.map((_, i) => i / 10),
      total: 8,
      mean: null,
    });
  });

  test('of a million points extremes, ends and the mean are kept, in few points', () => {
    const thin = new ThinCurve();
    const count = 1_000_003;
    let sum = 0;
    const at = (i: number) => (i === 123_457 ? 99 : i === 765_431 ? -99 : Math.sin(i * 0.7) + i / count);
    for (let i = 0; i < count; i++) {
      thin.add(i + 1, at(i), i);
      sum += at(i);
    }
    const { step, value, mean, total } = thin.curve('x');
    expect(total).toBe(count);
    expect(step.length).toBeGreaterThan(2000);
    expect(step.length).toBeLessThan(4200);
    expect(step).toEqual(step.toSorted((a, b) => a - b));
    expect([step[0], step.at(-1)]).toEqual([1, count]);
    expect(step.map((each) => at(each - 1))).toEqual(value); // each point is one of the curve
    expect([step[value.indexOf(99)], step[value.indexOf(-99)]]).toEqual([123_458, 765_432]);
    const average = mean!.reduce((a, b) => a + b, 0) / mean!.length;
    expect(average).toBeCloseTo(sum / count, 1);
  });

  test('points that do not come after the last are told', () => {
    const thin = new ThinCurve();
    expect([thin.add(2, 1, 0), thin.add(2, 3, 0), thin.add(1, 3, 0), thin.add(3, 2, 0)]).toEqual([
      true,
      false,
      false,
      true,
    ]);
    expect(thin.curve('x').value).toEqual([1, 2]);
  });
});

test('a log: curves as it has them, hours without pauses, what was skipped, damage', async () => {
  const at = (seconds: number) => new Date(Date.UTC(2026, 0, 1) + 1000 * seconds).toISOString();
  const train = (seconds: number, step: number, loss: number) => ({
    time: at(seconds),
    ...{ type: 'train', step, epoch: 0, loss, lr: 0.1, images_per_second: 10 * step, data_wait: 0.5 },
  });
  const lines = [
    { time: at(0), type: 'start', step: 0, total_steps: 9, device: 'CPU', compute: 'fp32' },
    { time: at(0), type: 'guesses', mean: 1, colour: 0.25 },
    { time: at(1), type: 'skipped', step: 1, path: 'a.jpg', reason: 'truncated' },
    { time: at(1), type: 'skipped', step: 1, path: 'b.jpg', reason: 'empty' },
    { time: at(2), type: 'skipped', step: 2, path: 'c.jpg', reason: 'truncated' },
    train(36, 1, 0.5),
    { time: at(40), type: 'skipped_step', step: 2, epoch: 0, reason: 'bad', loss: 'NaN', grad_norm: 'NaN' },
    { time: at(5000), type: 'start', step: 1, total_steps: 9, device: 'CUDA', compute: 'bf16' },
    train(5032, 2, 0.25),
    { time: at(5032), type: 'epoch', epoch: 0, step: 2, loss: 0.375 },
    { time: at(5032), type: 'probe', epoch: 0, step: 2, knn: 0.75 },
  ];
  const path = join(folder, 'log.jsonl');
  const texts = lines.map((line) => JSON.stringify(line));
  writeFileSync(path, `${[...texts.slice(0, 6), '{"type":"tr', ...texts.slice(6)].join('\n')}\n{"type":`);
  const log = await readRunLog(path);
  const curve = (tag: string) => log.curves.find((each) => each.tag === tag);
  expect(curve('train/loss')).toMatchObject({ step: [1, 2], value: [0.5, 0.25], hours: [0.01, 0.02] });
  expect(curve('probe/knn')).toMatchObject({ step: [2], value: [0.75] });
  expect(log).toMatchObject({
    guesses: { mean: 1, colour: 0.25 },
    skipped: [
      { reason: 'truncated', count: 2, examples: ['a.jpg', 'c.jpg'] },
      { reason: 'empty', count: 1, examples: ['b.jpg'] },
    ],
    troubles: [{ reason: 'step without an update: bad', count: 1, examples: ['step 2'] }],
    ...{
      device: 'CUDA',
      compute: 'bf16',
      stepsPerEpoch: 2,
      totalSteps: 9,
      lastStep: 2,
      damaged: 1,
      outOfOrder: 0,
    },
  });
  const throughput = throughputOf(log, 36)!;
  expect(throughput.imagesPerSecond).toBeCloseTo((2 * 36) / 72, 6);
  expect(throughput).toMatchObject({ medianImagesPerSecond: 20, dataWait: 0.5 });
});

test('options that differ come first; a run without a configuration differs in nothing', () => {
  const config = (lr: number, more = {}) => ({ options: { seed: 1, lr, ...more }, model: { depth: 2 } });
  const rows = optionRows([config(1), config(2, { crop: true }), {}]);
  expect(rows.filter(({ differs }) => differs)).toEqual([
    { name: '--lr', values: ['1', '2', null], differs: true },
    { name: '--crop', values: [null, 'true', null], differs: true },
  ]);
  expect(rows.slice(2).map(({ name, values }) => [name, ...values])).toEqual([
    ['command', 'pretrain', 'pretrain', null],
    ['--seed', '1', '1', null],
    ['model depth', '2', '2', null],
  ]);
});

test('JSON in HTML ends no element, and reads as it was', () => {
  const value = { path: '</script><script>alert(1)</script><!--', lines: 'a\u2028b\u2029c', quote: '"\\' };
  const text = jsonInHtml(value);
  expect(text).not.toMatch(/<|\u2028|\u2029/);
  expect(JSON.parse(text)).toEqual(value);
  expect(escapeHtml('<b title="&">')).toBe('&lt;b title=&quot;&amp;&quot;&gt;');
});

test('runs are named by what tells their paths apart', () => {
  expect(shortNames(['/x/a/run', '/x/b/run', '/x/c'])).toEqual(['a/run', 'b/run', 'c']);
  expect(shortNames(['/x/run/'])).toEqual(['run']);
});

test('ticks of a logarithmic axis are round numbers within it', () => {
  expect(logTicks(0.19, 1.7)).toEqual([0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.5]);
  expect(logTicks(0.07, 2.9)).toEqual([0.1, 0.2, 0.5, 1, 2]);
  expect(logTicks(2e-9, 2e-3)).toEqual([1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3]);
  expect(logRange(1e-12, 1)).toEqual([1e-6 / 1.1, 1.1]);
});

test('smoothing: as a mean with weights w, w², …, of what came before', () => {
  const [w, values] = [0.6, [3, 1, 4]];
  expect(smoothed(values, 0)).toEqual(values);
  expect(smoothed(values, w)[2]).toBeCloseTo((4 + w * 1 + w * w * 3) / (1 + w + w * w), 12);
});

test('filters: the largest first, 0 grey, each by its own largest number', () => {
  // two filters of one pixel: [R, G, B]
  const weight = Float32Array.from([0.5, 0, -0.25, 2, -2, 0]);
  const order = filterOrder({ weight, patchSize: 1 });
  expect(order).toEqual([1, 0]);
  const { picture, shown, total } = filterTiles({ weight, patchSize: 1 }, order);
  expect({ shown, total }).toEqual({ shown: 2, total: 2 });
  expect(picture.src).toMatch(/^data:image\/png;base64,iVBOR/);
  expect(relativeChange(Float32Array.of(3, 4), Float32Array.of(3, 9))).toBe(1);
});

test('cosine similarity of positions leaves the class token out', () => {
  const table = Float32Array.from([9, 9, 1, 0, 1, 1, 0, -2]);
  const similarity = cosines(table, 3);
  expect([...similarity(0)].map((x) => x.toFixed(6))).toEqual(['1.000000', '0.707107', '0.000000']);
  expect(similarity(1)[2]).toBeCloseTo(-Math.SQRT1_2, 12);
});

describe('attention of the class token', () => {
  const config: ModelConfig = { ...tinyModel, depth: 2 };
  const values = (name: string, size: number) =>
    Float32Array.from({ length: size }, (_, i) => Math.sin(1 + i * 0.37 + name.length) * 0.3);
  const parameters = new Map(
    encoderParameters(config).map(({ name, shape }) => [name, values(name, sizeOf(shape))]),
  );
  const image = Uint8Array.from({ length: 16 * 16 * 3 }, (_, i) => (i * 37 + (i >> 3)) % 256);

  test('is softmax(q·k/√d) of the last block’s input, in float64', async () => {
    const runtime = new Runtime({ threads: 1 });
    try {
      const [attention] = await classAttention(runtime, config, parameters, [image]);
      // the encoder up to block 1, with the first norm of block 2 as its last norm, gives what block 2 attends with
      const named = (name: string) => parameters.get(name)!;
      const normed = new Map(parameters)
        .set('norm.weight', named('blocks.1.norm1.weight'))
        .set('norm.bias', named('blocks.1.norm1.bias'));
      const encoder = openEncoder(runtime, upToLayer({ config, parameters: normed }, 1), ['none'], 1);
      await encoder.run({ images: image });
      const tokens = encoder.outputs['none']!.slice();
      encoder.release();
      const [width, heads, count] = [config.embedDim, config.numHeads, 17];
      const [weight, bias] = [named('blocks.1.attn.qkv.weight'), named('blocks.1.attn.qkv.bias')];
      const projected = (token: number, row: number) => {
        let sum = bias[row]!;
        for (let i = 0; i < width; i++) sum += weight[row * width + i]! * tokens[token * width + i]!;
        return sum;
      };
      const size = width / heads;
      for (let head = 0; head < heads; head++) {
        const scores = Array.from({ length: count }, (_, token) => {
          let sum = 0;
          for (let i = head * size; i < (head + 1) * size; i++)
            sum += projected(0, i) * projected(token, width + i);
          return Math.exp(sum / Math.sqrt(size));
        });
        const total = scores.reduce((a, b) => a + b, 0);
        const row = attention!.subarray(head * count, (head + 1) * count);
        expect(row.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 5);
        for (const [token, score] of scores.entries()) expect(row[token]).toBeCloseTo(score / total, 5);
        expect(Math.max(...row) - Math.min(...row)).toBeGreaterThan(0.005); // it looks somewhere
      }
    } finally {
      runtime.release();
    }
  });
});
