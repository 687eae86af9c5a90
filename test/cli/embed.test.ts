import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { parse } from 'csv-parse/sync';
import { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import ort from 'onnxruntime-node';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadImage } from '../../src/data/load-image.js';
import { pixelValues } from '../../src/data/pictures/pixels.js';
import '../support/allclose.js';
import { mae, maeOk, maeOneLine } from '../support/cli.js';
import {
  type FlagValues,
  filesOf,
  flags,
  pretrainArgs,
  readTensorFile,
  tinyModel,
  writeModel,
  writeTensorFile,
} from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, images, pictures } = await trainingFiles(11);
const at = (...names: string[]) => join(folder, ...names);
const run = at('run');
const step = join(run, 'checkpoints/step-3');
const [side, width, tokens] = [tinyModel.inputSize, tinyModel.embedDim, 17];
// by the bytes of their paths, as the folder is
const names = pictures.map((path) => relative(images, path)).sort();
const classes = [...new Set(names.map((name) => name.split('/')[0]!))];

beforeAll(async () => {
  const model = writeModel(folder, { ...tinyModel, depth: 2 });
  await maeOk(pretrainArgs({ 'data-path': images, model, 'output-dir': run, 'max-steps': 3, lr: 0.01 }));
});

const embed = (output: string, change: FlagValues = {}) => [
  'embed',
  ...flags({
    checkpoint: run,
    'data-path': images,
    output,
    'batch-size': 4,
    'num-workers': 0,
    threads: 1,
    ...change,
  }),
];

/** A NumPy file of float32. */
function readNpy(path: string): { shape: number[]; data: Float32Array } {
  const bytes = readFileSync(path);
  expect(bytes.toString('latin1', 0, 8)).toBe('\x93NUMPY\x01\x00');
  const start = 10 + bytes.readUInt16LE(8);
  expect(start % 64).toBe(0);
  const header = bytes.toString('latin1', 10, start);
  const [, shape] = /^\{'descr': '<f4', 'fortran_order': False, 'shape': \(([\d, ]+)\), \} *\n$/.exec(
    header,
  )!;
  const data = new Float32Array(Uint8Array.from(bytes.subarray(start)).buffer);
  return { shape: shape!.split(', ').map(Number), data };
}

/** What the encoder exported from a checkpoint gives for the pictures, in onnxruntime-node. */
async function exported(pool: string, checkpoint = run): Promise<Float32Array> {
  const path = at(`${pool}.onnx`);
  await maeOk(['export-encoder', '--checkpoint', checkpoint, '-o', path, '--pool', pool]);
  const session = await ort.InferenceSession.create(path, { intraOpNumThreads: 1 });
  const loaded = names.map((name) =>
    loadImage(join(images, name), { height: side, width: side, fit: 'crop' }),
  );
  const pixels = pixelValues(Buffer.concat(await Promise.all(loaded)), { height: side, width: side });
  const outputs = await session.run({
    pixel_values: new ort.Tensor('float32', pixels, [names.length, 3, side, side]),
  });
  await session.release();
  return outputs[session.outputNames[0]!]!.data as Float32Array;
}

const tolerance = { rtol: 1e-4, atol: 1e-5 };

test.each([
  ['mean', [11, width]],
  ['cls', [11, width]],
  ['none', [11, tokens, width]],
] as const)('--pool %s is what the exported encoder gives, picture by picture', async (pool, shape) => {
  const output = at(`${pool}.npy`);
  const { stdout, stderr } = await maeOk(embed(output, { pool: pool }));
  expect(stdout).toBe(`wrote ${output}: [${shape.join(', ')}], ${pool} of block 2\n`);
  expect(stderr).toBe('');
  const { shape: got, data } = readNpy(output);
  expect(got).toEqual(shape);
  const size = data.length / names.length;
  expect(data.subarray(size, 2 * size)).not.toBeAllclose(data.subarray(0, size), { rtol: 1e-2 });
  expect(data).toBeAllclose(await exported(pool), tolerance);
  expect(readFileSync(at(`${pool}.names.txt`), 'utf8')).toBe(`${names.join('\n')}\n`);
  const labels = names.map((name) => name.split('/')[0]);
  expect(readFileSync(at(`${pool}.labels.txt`), 'utf8')).toBe(`${labels.join('\n')}\n`);
});

test('the mean is the default, whatever the batch, the workers and the threads', async () => {
  await maeOk(embed(at('mean.npy'), { pool: 'mean' }));
  const args = ['embed', '--checkpoint', step, '--data-path', images, '-o', at('default.npy')];
  await maeOk(args);
  expect(readNpy(at('default.npy')).data).toBeAllclose(readNpy(at('mean.npy')).data, {
    rtol: 1e-5,
    atol: 1e-6,
  });
});

test('--layer 1 is an encoder without its second block, the last layer the default', async () => {
  const { metadata, tensors } = readTensorFile(join(step, 'model.safetensors'));
  const model = JSON.stringify({ ...tinyModel, depth: 1 });
  const first = new Map([...tensors].filter(([name]) => !name.startsWith('blocks.1.')));
  writeTensorFile(at('one-block.safetensors'), { metadata: { ...metadata, model }, tensors: first });
  const wanted = await exported('mean', at('one-block.safetensors'));
  for (const layer of ['1', '2']) await maeOk(embed(at(`layer-${layer}.npy`), { layer: layer }));
  expect(readNpy(at('layer-1.npy')).data).toBeAllclose(wanted, tolerance);
  expect(readNpy(at('layer-2.npy')).data).not.toBeAllclose(wanted, { rtol: 1e-2 });
  await maeOk(embed(at('last.npy')));
  expect(readFileSync(at('layer-2.npy'))).toEqual(readFileSync(at('last.npy')));
});

describe('the other formats hold what .npy does', () => {
  const labelled = names.map((name, i) => [name, i % 3 === 0 ? 'third, "of all"' : 'ä'] as const);
  /** Some images have no class. */
  const rows = labelled.filter((_, i) => i % 4 !== 3);
  let numbers: Float32Array;
  const labels = labelled.map(([, label], i) => (i % 4 === 3 ? null : label));
  const file = at('labels.csv');

  beforeAll(async () => {
    const lines = rows.map(([name, label]) => `"${name}","${label.replaceAll('"', '""')}"`);
    writeFileSync(file, `path,label\r\n${lines.join('\r\n')}`);
    for (const ending of ['npy', 'csv', 'parquet', 'safetensors']) {
      const { stderr } = await maeOk(embed(at(`all.${ending}`), { labels: file }));
      expect(stderr).toMatch(/labels\.csv names 9 of the 11 images of .*: the others have no class\n$/);
    }
    numbers = readNpy(at('all.npy')).data;
    expect(readFileSync(at('all.labels.txt'), 'utf8')).toBe(
      labels.map((label) => `${label ?? ''}\n`).join(''),
    );
  });

  test('.csv', () => {
    const [head, ...lines] = parse(readFileSync(at('all.csv')), {}) as string[][];
    expect(head).toEqual(['path', 'label', ...Array.from({ length: width }, (_, i) => `f${i}`)]);
    expect(lines.map(([path]) => path)).toEqual(names);
    expect(lines.map(([, label]) => label || null)).toEqual(labels);
    expect(Float32Array.from(lines.flatMap((line) => line.slice(2).map(Number)))).toEqual(numbers);
  });

  test('.parquet', async () => {
    const buffer = await asyncBufferFromFile(at('all.parquet'));
    const found = await parquetReadObjects({ file: buffer });
    expect(found.map(({ path }) => path)).toEqual(names);
    expect(found.map(({ label }) => label ?? null)).toEqual(labels);
    expect(Float32Array.from(found.flatMap(({ features }) => features))).toEqual(numbers);
    const { key_value_metadata: pairs } = await parquetMetadataAsync(buffer);
    expect(pairs).toContainEqual({ key: 'mae.pool', value: 'mean' });
  });

  test('.safetensors', () => {
    const bytes = readFileSync(at('all.safetensors'));
    const start = 8 + Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.toString('utf8', 8, start));
    const places = header.labels;
    expect(header.features).toMatchObject({
      dtype: 'F32',
      shape: [11, width],
      data_offsets: [0, 44 * width],
    });
    expect(places).toMatchObject({ dtype: 'I64', shape: [11] });
    const { names: paths, classes: found, ...metadata } = header.__metadata__;
    expect(JSON.parse(paths)).toEqual(names);
    expect(metadata).toMatchObject({ 'mae.pool': 'mean', 'mae.layer': '2', 'mae.step': '3' });
    const data = Uint8Array.from(bytes.subarray(start)).buffer;
    expect(new Float32Array(data, 0, 11 * width)).toEqual(numbers);
    const place = new BigInt64Array(data.slice(places.data_offsets[0], places.data_offsets[1]));
    expect(Array.from(place, (each) => JSON.parse(found)[Number(each)] ?? null)).toEqual(labels);
  });
});

test('images that cannot be read are left out, named and counted', async () => {
  const broken = at('broken');
  mkdirSync(broken);
  names.slice(0, 6).forEach((name, i) => void copyFileSync(join(images, name), join(broken, `${i}.jpg`)));
  for (const i of [1, 5]) truncateSync(join(broken, `${i}.jpg`), 10);
  await maeOk(embed(at('some.npy')));
  const all = readNpy(at('some.npy')).data;
  const args = embed(at('some.npy'), { 'data-path': broken, json: true });
  const { code, stdout, stderr } = await mae(args);
  expect(code).toBe(1);
  expect(JSON.parse(stdout)).toEqual({
    output: at('some.npy'),
    rows: 4,
    shape: [4, width],
    pool: 'mean',
    layer: 2,
    skipped: 2,
  });
  for (const i of [1, 5]) expect(stderr).toMatch(new RegExp(`^skipped .*broken/${i}\\.jpg: `, 'm'));
  expect(stderr).toMatch(/^mae: 2 of 6 images are not in .*some\.npy$/m);
  expect(readFileSync(at('some.names.txt'), 'utf8')).toBe('0.jpg\n2.jpg\n3.jpg\n4.jpg\n');
  const wanted = [0, 2, 3, 4].flatMap((i) => [...all.subarray(i * width, (i + 1) * width)]);
  expect(readNpy(at('some.npy')).data).toBeAllclose(wanted, { rtol: 1e-5, atol: 1e-6 });
  // the folder is flat: the labels of the features that were there before are gone with them
  expect(classes.length).toBeGreaterThan(1);
  expect(existsSync(at('some.labels.txt'))).toBe(false);
});

test('one picture is one row', async () => {
  mkdirSync(at('one'));
  copyFileSync(join(images, names[0]!), at('one', 'a.jpg'));
  await maeOk(embed(at('one.csv'), { 'data-path': at('one') }));
  expect(readFileSync(at('one.csv'), 'utf8').split('\n')).toHaveLength(3);
});

describe('what is refused is a line, and nothing is changed', () => {
  beforeAll(async () => {
    mkdirSync(at('empty'));
    for (const ending of ['npy', 'csv', 'parquet', 'safetensors'])
      writeFileSync(at(`mine.${ending}`), 'my own');
    writeFileSync(at('notes.names.txt'), 'my own');
    writeFileSync(at('wrong.csv'), 'path,label\nno/such.jpg,a\n');
    await maeOk(embed(at('read.csv')));
    await maeOk(['export-encoder', '--checkpoint', run, '-o', at('weights.safetensors')]);
    const { metadata, tensors } = readTensorFile(join(step, 'model.safetensors'));
    const decoder = new Map(
      [...tensors].filter(([name]) => name.startsWith('decoder') || name === 'mask_token'),
    );
    writeTensorFile(at('decoder.safetensors'), { metadata, tensors: decoder });
    const huge = new Map(tensors);
    // tokens are all 3e38, their sum over an image is too large, and no two infinities meet
    for (const [name, number] of [
      ['norm.weight', 0],
      ['norm.bias', 3e38],
    ] as const) {
      const { shape, data } = huge.get(name)!;
      huge.set(name, { shape, data: data.map(() => number) });
    }
    writeTensorFile(at('huge.safetensors'), { metadata, tensors: huge });
    rmSync(at('never'), { recursive: true, force: true });
  });

  test.each<[string, string[], RegExp]>([
    ['another ending', embed(at('never.txt')), /^--output: expected a file that ends in \.npy, .*never\.txt/],
    ['no ending', embed(at('never')), /^--output: expected a file that ends in/],
    [
      'all tokens as CSV',
      embed(at('never.csv'), { pool: 'none' }),
      /^--pool: expected cls or mean .*got none/,
    ],
    ['all tokens as parquet', embed(at('never.parquet'), { pool: 'none' }), /^--pool: expected cls or mean/],
    ['--layer 0', embed(at('never.npy'), { layer: '0' }), /^--layer: .*got 0$/],
    [
      'a layer too many',
      embed(at('never.npy'), { layer: '3' }),
      /^--layer: expected a block of .*1 to 2, got 3$/,
    ],
    [
      'an empty folder',
      embed(at('never.npy'), { 'data-path': at('empty') }),
      /expected images below .*empty/,
    ],
    [
      'a checkpoint without an encoder',
      embed(at('never.npy'), { checkpoint: at('decoder.safetensors') }),
      /^checkpoint: expected an encoder in .*decoder\.safetensors, got none of its tensors .*; give /,
    ],
    [
      'numbers that overflow',
      embed(at('never.npy'), { checkpoint: at('huge.safetensors') }),
      /^features: expected finite numbers for .*\.jpg, got -?Infinity; /,
    ],
    [
      'labels of other images',
      embed(at('never.npy'), { labels: at('wrong.csv') }),
      /got no\/such\.jpg in line 2/,
    ],
    ['labels that are not there', embed(at('never.npy'), { labels: at('no.csv') }), /^labels: .*ENOENT/],
    ...['npy', 'csv', 'parquet', 'safetensors'].map((ending): [string, string[], RegExp] => [
      `a .${ending} of somebody else`,
      embed(at(`mine.${ending}`)),
      /^output: expected a new file or features of mae embed at .*mine/,
    ]),
    ['an exported encoder', embed(at('weights.safetensors')), /^output: expected a new file or features/],
    ['names of somebody else', embed(at('notes.npy')), /^output: .*at .*notes\.names\.txt, got a file of/],
    ['the labels file', embed(at('read.csv'), { labels: at('read.csv') }), /got .*read\.csv, which is/],
    ['the checkpoint', embed(join(step, 'model.safetensors')), /^output: expected a file that is not read/],
  ])('%s', async (_, args, message) => {
    const before = filesOf(folder);
    expect(await maeOneLine(args)).toMatch(message);
    expect(filesOf(folder)).toEqual(before);
  });
});
