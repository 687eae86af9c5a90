/** Mutated files over every reader of weights: an error for the user or whole weights, and no more memory than that. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encoderParameters } from '../../../src/model/parameters.js';
import { UserError } from '../../../src/util/errors.js';
import { RandomStream } from '../../../src/util/random.js';
import { openPth } from '../../../src/weights/foreign/pth/pth.js';
import { loadWeights } from '../../../src/weights/foreign/weights.js';
import { temporaryFolder } from '../../train/support.js';
import { weightsPath } from './weight-goldens.js';

/** Room for what reading takes beside the tensors: decoded headers, and what vitest does meanwhile. */
const slackBytes = 8 * 2 ** 20;

/** Reads; says whether it could. Anything but a UserError, or memory beyond that of the file, fails the test. */
async function survives(fileBytes: number, what: string, read: () => Promise<unknown>): Promise<boolean> {
  const before = process.memoryUsage();
  let isRead = true;
  try {
    await read();
  } catch (error) {
    expect(error, what).toBeInstanceOf(UserError);
    expect((error as Error).message.length, what).toBeLessThan(4000);
    isRead = false;
  }
  // garbage counts until it is collected, so this sees what was taken and given back
  const { arrayBuffers, rss } = process.memoryUsage();
  // float16 becomes float32, and a joined qkv exists beside its parts
  expect(arrayBuffers - before.arrayBuffers, what).toBeLessThan(4 * fileBytes + slackBytes);
  expect(rss - before.rss, what).toBeLessThan(4 * fileBytes + 16 * slackBytes);
  return isRead;
}

const extremes = [0, 1, 2, 0x7f, 0x80, 0xff];

/** Bytes changed in one of six ways, mostly where `places` says that the structure is. */
function mutated(
  whole: Buffer,
  random: RandomStream,
  kind: number,
  places: [start: number, end: number][],
): Buffer {
  let bytes: Buffer = Buffer.from(whole);
  const [start, end] = places[random.int(places.length)]!;
  const place = () => start + random.int(end - start);
  if (kind === 0) bytes[place()] = random.int(256);
  if (kind === 1) bytes[place()]! ^= 1 << random.int(8);
  if (kind === 2) bytes = bytes.subarray(0, random.int(bytes.length));
  if (kind === 3) {
    for (let at = place(), i = 0; i < 4 && at + i < end; i++) bytes[at + i] = extremes[random.int(6)]!;
  }
  if (kind === 4) {
    // a piece of the structure again, over another one
    const length = 1 + random.int(24);
    const from = place();
    bytes.copy(bytes, Math.min(place(), bytes.length - length), from, Math.min(from + length, end));
  }
  if (kind === 5) {
    for (let i = 0; i < 5; i++) bytes[place()] = random.int(256);
  }
  return bytes;
}

/** The pickle (the first entry) and the central directory of a file of torch.save. */
function structureOf(bytes: Buffer): [number, number][] {
  const stop = bytes.indexOf(Buffer.from('PK\x07\x08', 'latin1'));
  const next = bytes.indexOf(Buffer.from('PK\x03\x04', 'latin1'), 4);
  const directory = bytes.indexOf(Buffer.from('PK\x01\x02', 'latin1'));
  return [
    [0, stop > 0 ? Math.min(stop, next) : next],
    [directory, bytes.length],
  ];
}

test.each([
  ['mixed-2.pth', 500],
  ['mixed-4.pth', 300],
  ['encoder-half.pth', 300],
])('%s, %i times', async (name, times) => {
  const whole = readFileSync(weightsPath(name));
  const places = structureOf(whole);
  const path = join(temporaryFolder(), 'mutated.pth');
  let read = 0;
  for (let i = 0; i < times; i++) {
    const bytes = mutated(whole, new RandomStream(3, 'sample', i), i % 6, places);
    writeFileSync(path, bytes);
    const isRead = await survives(bytes.length, `mutation ${i}`, async () => {
      if (name === 'encoder-half.pth') return loadWeights(path, encoderParameters);
      const file = await openPth(path);
      try {
        for (const tensor of file.tensors.keys()) await file.readTensor(tensor);
      } finally {
        await file.close();
      }
    });
    if (isRead) read++;
  }
  // some bytes mean nothing to us (times of entries, unused names); most do
  expect(read).toBeGreaterThan(times * 0.05);
  expect(read).toBeLessThan(times * 0.8);
});

const numbers = [
  0,
  1,
  -1,
  0.5,
  2,
  31,
  64,
  1024,
  65536,
  65537,
  2 ** 31,
  2 ** 53,
  1e300,
  '"24"',
  '[32,32]',
  'null',
  '{}',
];

test('a folder of transformers, 500 times', async () => {
  const folder = temporaryFolder();
  cpSync(weightsPath('hf-5'), folder, { recursive: true });
  const paths = { config: join(folder, 'config.json'), model: join(folder, 'model.safetensors') };
  const config = readFileSync(paths.config);
  const model = readFileSync(paths.model);
  const header: [number, number][] = [[0, 8 + Number(model.readBigUInt64LE())]];
  let read = 0;
  for (let i = 0; i < 500; i++) {
    const random = new RandomStream(5, 'sample', i);
    let configBytes: Buffer = config;
    let modelBytes: Buffer = model;
    if (i % 10 < 4) {
      // one value of the config becomes another
      const values = [...config.toString().matchAll(/(?<=: )[^,\n]+/g)];
      const { index, 0: old } = values[random.int(values.length)]!;
      const value = String(numbers[random.int(numbers.length)]);
      const text = config.toString();
      configBytes = Buffer.from(text.slice(0, index) + value + text.slice(index + old.length));
    } else if (i % 10 < 6) configBytes = mutated(config, random, random.int(6), [[0, config.length]]);
    else modelBytes = mutated(model, random, random.int(6), header);
    if (i % 25 === 0) {
      // no table in the file: what the config says alone decides how large it is
      const renamed = modelBytes
        .toString('latin1')
        .replace('vit.embeddings.position_', 'vit.embeddings.pasition_');
      modelBytes = Buffer.from(renamed, 'latin1');
    }
    writeFileSync(paths.config, configBytes);
    writeFileSync(paths.model, modelBytes);
    const isRead = await survives(modelBytes.length, `mutation ${i}`, () =>
      loadWeights(folder, encoderParameters),
    );
    if (isRead) read++;
  }
  expect(read).toBeGreaterThan(25);
  expect(read).toBeLessThan(400);
});

test('an index of several files, 200 times', async () => {
  const folder = temporaryFolder();
  cpSync(weightsPath('hf-4-sharded'), folder, { recursive: true });
  const path = join(folder, 'model.safetensors.index.json');
  const whole = readFileSync(path);
  for (let i = 0; i < 200; i++) {
    const random = new RandomStream(6, 'sample', i);
    writeFileSync(path, mutated(whole, random, i % 6, [[0, whole.length]]));
    await survives(100_000, `mutation ${i}`, () => loadWeights(folder, encoderParameters));
  }
});
