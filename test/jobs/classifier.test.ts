/** What a classifier tells, and what it is exported as, against ONNX Runtime's own package and arithmetic. */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { embed, embedDefaults } from '../../src/jobs/embed.js';
import { exportModel } from '../../src/jobs/export.js';
import { exportClassifier } from '../../src/jobs/export-classifier.js';
import { exportEncoder } from '../../src/jobs/export-encoder.js';
import { exportWeb, exportWebDefaults } from '../../src/jobs/export-web.js';
import { type Prediction, predict, predictDefaults } from '../../src/jobs/predict.js';
import { chooseDevice } from '../../src/runtime/choose-device.js';
import { loadInitialWeights } from '../../src/weights/foreign/initial-weights.js';
import { type ClassifierFile, writeClassifier } from '../support/classifier-file.js';
import { pictureNames, pictures, runOnnx, writePictures, writePng } from '../support/classifier-pictures.js';
import { fileFolder, readTensorFile, tinyModel, writeTensorFile } from '../support/cli-files.js';
import { randomBytes } from '../support/random.js';

const folder = fileFolder();
const images = join(folder, 'pictures');
const { inputSize: size, embedDim: width } = tinyModel;
const classes = ['zebra', 'ant', 'bee, queen', 'two\nlines', 'cat', 'dog'];
beforeAll(() => writePictures(images));

const classifier = (options: ClassifierFile, where = folder) =>
  writeClassifier(where, { classes, evaluationCrop: 1, ...options });

async function predicted(
  checkpoint: string,
  given: readonly string[] = [images],
  options: {
    batchSize?: number;
    numWorkers?: number;
    top?: number;
    inputSize?: number;
    notes?: string[];
  } = {},
): Promise<Prediction[]> {
  const told: Prediction[] = [];
  await predict(
    {
      ...predictDefaults,
      top: 6,
      threads: 1,
      numWorkers: 0,
      device: 'cpu',
      ...options,
      checkpoint,
      images: given,
    },
    {
      predicted: (prediction) => void told.push(prediction),
      note: (line) => void options.notes?.push(line),
      progress: () => {},
    },
  );
  return told;
}

function softmax(logits: Float32Array): number[] {
  const powers = Array.from(logits, Math.exp);
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

/** The largest difference of scores, label by label. */
function difference(a: Prediction, b: Prediction): number {
  const scores = new Map(b.top.map(({ label, score }) => [label, score]));
  return Math.max(...a.top.map(({ label, score }) => Math.abs(score - (scores.get(label) ?? Number.NaN))));
}

const json = (...path: string[]) => JSON.parse(readFileSync(join(...path), 'utf8'));
const place = { threads: 1, device: chooseDevice('cpu') };
const ignore = () => {};

describe.each([
  { kind: 'fine-tuned', pool: 'mean' },
  { kind: 'fine-tuned', pool: 'cls' },
  { kind: 'probe', pool: 'mean' },
  { kind: 'probe', pool: 'cls' },
] as const)('a $kind classifier that reads $pool', ({ kind, pool }) => {
  const output = (name: string) => join(folder, `${kind}-${pool}-${name}`);
  const hasOwnNorm = kind === 'fine-tuned' && pool === 'mean';
  let checkpoint: string;
  let told: Prediction[];
  beforeAll(async () => {
    checkpoint = classifier({ kind, pool });
    told = await predicted(checkpoint);
    await exportClassifier({ ...place, checkpoint, output: output('model.onnx'), format: 'onnx' }, ignore);
  });

  test('tells what its ONNX model gives for the same pixels, of which a batch may have any number', async () => {
    expect(told.map(({ image }) => image)).toEqual(pictureNames.map((name) => join(images, name)));
    for (const count of [1, pictures.length]) {
      const { dims, data } = await runOnnx(output('model.onnx'), pictures.slice(0, count));
      expect(dims).toEqual([count, classes.length]);
      for (let i = 0; i < count; i++) {
        const wanted = softmax(data.slice(i * classes.length, (i + 1) * classes.length));
        const { label, score, top } = told[i]!;
        expect(top.map((guess) => guess.label).sort()).toEqual([...classes].sort());
        for (const guess of top) {
          expect(Math.abs(guess.score - wanted[classes.indexOf(guess.label)]!)).toBeLessThan(1e-5);
        }
        expect({ label, score }).toEqual(top[0]);
        expect(top.map((guess) => guess.score)).toEqual(
          top.map((guess) => guess.score).sort((a, b) => b - a),
        );
      }
    }
  });

  test('says its classes and its crop in the ONNX model', () => {
    const text = readFileSync(output('model.onnx')).toString();
    expect(text).toContain(JSON.stringify(classes));
    for (const key of [
      'mae.classes',
      'mae.image_mean',
      'mae.image_std',
      'mae.rescale_factor',
      'mae.crop_pct',
    ])
      expect(text).toContain(key);
  });

  test('as safetensors has timm’s names, and no batch norm', async () => {
    await exportClassifier(
      { ...place, checkpoint, output: output('out.safetensors'), format: 'safetensors' },
      ignore,
    );
    const { tensors, metadata } = readTensorFile(output('out.safetensors'));
    const norm = hasOwnNorm ? 'fc_norm' : 'norm';
    expect([...tensors.keys()].filter((name) => !name.startsWith('blocks.'))).toEqual([
      ...['cls_token', 'pos_embed', 'patch_embed.proj.weight', 'patch_embed.proj.bias'],
      ...[`${norm}.weight`, `${norm}.bias`, 'head.weight', 'head.bias'],
    ]);
    expect(JSON.parse(metadata['mae.classes']!)).toEqual(classes);
  });

  test('for timm says how it pools, where its norm is, and its classes', async () => {
    await exportModel({ checkpoint, format: 'timm', output: output('timm') }, ignore);
    expect(json(output('timm'), 'config.json')).toMatchObject({
      num_classes: classes.length,
      label_names: classes,
      model_args: { global_pool: pool === 'mean' ? 'avg' : 'token', fc_norm: hasOwnNorm },
      pretrained_cfg: { crop_pct: 1, num_classes: classes.length },
    });
  });

  test('is read back from folders of timm and transformers as the same encoder', async () => {
    const encoders: Float32Array[] = [];
    const from = [checkpoint, output('timm'), ...(pool === 'cls' ? [output('hf')] : [])];
    if (pool === 'cls') await exportModel({ checkpoint, format: 'hf', output: output('hf') }, ignore);
    for (const [i, given] of from.entries()) {
      const path = output(`encoder-${i}.onnx`);
      await exportEncoder({ ...place, checkpoint: given, output: path, format: 'onnx', pool }, ignore);
      encoders.push((await runOnnx(path, pictures)).data);
    }
    for (const other of encoders.slice(1)) expect(other).toEqual(encoders[0]);
  });

  test('in our own format is the same', async () => {
    await exportModel({ checkpoint, format: 'mae', output: output('mae') }, ignore);
    expect(await predicted(output('mae'))).toEqual(told);
  });

  test(`goes ${pool === 'mean' ? 'not ' : ''}into transformers’ ViTForImageClassification`, async () => {
    const exported = exportModel({ checkpoint, format: 'hf', output: output('hf') }, ignore);
    if (pool === 'mean') {
      await expect(exported).rejects.toThrow(
        /^--format: expected timm for .*mean of the patch tokens, got hf, .*; give --format timm/,
      );
      return;
    }
    await exported;
    const config = json(output('hf'), 'config.json');
    expect(config).toMatchObject({ model_type: 'vit', architectures: ['ViTForImageClassification'] });
    expect(Object.values(config.id2label)).toEqual(classes);
    expect(classes.map((name) => config.label2id[name])).toEqual([0, 1, 2, 3, 4, 5]);
    expect(json(output('hf'), 'preprocessor_config.json')).toMatchObject({
      size: { shortest_edge: size },
      crop_size: { height: size, width: size },
    });
    const other = exportModel(
      { checkpoint: classifier({ kind, pool }), format: 'timm', output: output('hf') },
      ignore,
    );
    await expect(other).rejects.toThrow(/got an export as hf-classifier/);
  });
});

describe('predict', () => {
  let checkpoint: string;
  let told: Prediction[];
  beforeAll(async () => {
    checkpoint = classifier({ kind: 'fine-tuned', pool: 'mean' });
    told = await predicted(checkpoint);
  });

  test.each([1, 2, 3, 64])('gives the same in batches of %i', async (batchSize) => {
    const other = await predicted(checkpoint, [images], { batchSize });
    expect(other.map(({ image, label }) => [image, label])).toEqual(
      told.map(({ image, label }) => [image, label]),
    );
    for (const [i, one] of other.entries()) expect(difference(one, told[i]!)).toBeLessThan(1e-6);
  });

  test('gives the same by workers', async () => {
    expect(await predicted(checkpoint, [images], { numWorkers: 2 })).toEqual(told);
  });

  test('takes files and folders as they are given, one of them twice too', async () => {
    const [a, b, deep] = ['a.png', 'b.png', 'deep'].map((name) => join(images, name)) as [
      string,
      string,
      string,
    ];
    const found = await predicted(checkpoint, [b, deep, a, b]);
    const [c, d] = [join(deep, 'er', 'c.png'), join(deep, 'er', 'd.png')];
    expect(found.map(({ image }) => image)).toEqual([b, c, d, a, b]);
    expect(found[4]).toEqual(found[0]);
    expect(found.map(({ label }) => label)).toEqual([1, 2, 3, 0, 1].map((i) => told[i]!.label));
  });

  test('tells fewer than all classes where --top says so', async () => {
    const found = await predicted(checkpoint, [images], { top: 2 });
    expect(found.map(({ top }) => top)).toEqual(told.map(({ top }) => top.slice(0, 2)));
    const [one] = await predicted(checkpoint, [images], { top: 100 });
    expect(one!.top.reduce((sum, { score }) => sum + score, 0)).toBeCloseTo(1, 9);
    expect(one!.top).toHaveLength(classes.length);
  });

  test('cuts out the middle that evaluation saw in training', async () => {
    const whole = randomBytes(99, 4 * size * size * 3);
    const middle = new Uint8Array(size * size * 3);
    for (let y = 0; y < size; y++) {
      const start = ((y + size / 2) * 2 * size + size / 2) * 3;
      middle.set(whole.subarray(start, start + size * 3), y * size * 3);
    }
    const [large, small] = [join(folder, 'large.png'), join(folder, 'small.png')];
    await writePng(large, whole, 2 * size, 2 * size);
    await writePng(small, middle, size, size);
    const half = classifier({ kind: 'fine-tuned', pool: 'mean', evaluationCrop: 0.5 }, join(folder, 'half'));
    const [[wanted], [got], [all]] = [
      await predicted(checkpoint, [small]),
      await predicted(half, [large]),
      await predicted(checkpoint, [large]),
    ];
    expect(got!.top).toEqual(wanted!.top);
    expect(all!.top).not.toEqual(wanted!.top);
  });

  test('at another input size interpolates positions that were trained', async () => {
    const notes: string[] = [];
    const found = await predicted(checkpoint, [images], { inputSize: 24, notes });
    expect(found).toHaveLength(pictures.length);
    expect(notes).toEqual([expect.stringMatching(/^pos_embed: 4 × 4 positions are interpolated to 6 × 6$/)]);
    // at its own size nothing is to be done
    expect(await predicted(checkpoint, [images], { inputSize: size })).toEqual(told);
  });
});

describe('reading a classifier', () => {
  const given = () => readTensorFile(classifier({ kind: 'fine-tuned', pool: 'cls' }));

  test.each<[string, Record<string, string>, RegExp]>([
    ['fewer classes', { classes: '["a","b"]' }, /head\.weight is \[6, 24\] instead of \[2, 24\]/],
    ['no list of classes', { classes: '{"a":1}' }, /expected classes, pool and crop_pct/],
    ['no JSON', { classes: 'no' }, /expected classes, pool and crop_pct/],
    ['another pool', { pool: 'none' }, /expected classes, pool and crop_pct/],
    ['too large a crop', { crop_pct: '2' }, /expected classes, pool and crop_pct/],
    ['the pool of other weights', { pool: 'mean' }, /fc_norm\.weight is missing/],
  ])('of %s is refused', async (name, changed, message) => {
    const { metadata, tensors } = given();
    const path = join(folder, `${name}.safetensors`);
    writeTensorFile(path, { metadata: { ...metadata, ...changed }, tensors });
    await expect(predicted(path)).rejects.toThrow(message);
  });

  test('takes the moving average where a checkpoint has one', async () => {
    const { metadata, tensors } = given();
    const checkpoint = join(folder, 'averaged');
    mkdirSync(checkpoint);
    const bias = tensors.get('head.bias')!;
    const average = { ...bias, data: bias.data.map((value, i) => value + i) };
    const averaged = new Map([...tensors].map(([name, tensor]) => [`ema.${name}`, tensor]));
    averaged.set('ema.head.bias', average).set('exp_avg.head.bias', bias);
    writeTensorFile(join(checkpoint, 'model.safetensors'), { metadata, tensors });
    writeTensorFile(join(checkpoint, 'optimizer.safetensors'), { metadata: {}, tensors: averaged });
    writeFileSync(join(checkpoint, 'state.json'), '{}');
    const alone = join(folder, 'average-alone.safetensors');
    writeTensorFile(alone, { metadata, tensors: new Map([...tensors, ['head.bias', average]]) });
    const notes: string[] = [];
    const told = await predicted(checkpoint, [images], { notes });
    expect(notes).toEqual([expect.stringMatching(/the moving average of the weights is taken/)]);
    expect(told).toEqual(await predicted(alone));
    expect(told).not.toEqual(await predicted(join(checkpoint, '..', 'fine-tuned-cls.safetensors')));
  });
});

describe('an encoder that was fine-tuned on the mean of its tokens', () => {
  let checkpoint: string;
  beforeAll(() => {
    checkpoint = classifier({ kind: 'fine-tuned', pool: 'mean' });
  });

  test('has the features that the head reads, in ONNX and in embed', async () => {
    const [encoder, whole, csv] = ['encoder.onnx', 'whole.onnx', 'mean.csv'].map((name) =>
      join(folder, name),
    ) as [string, string, string];
    await exportEncoder({ ...place, checkpoint, output: encoder, format: 'onnx', pool: 'mean' }, ignore);
    await exportClassifier({ ...place, checkpoint, output: whole, format: 'onnx' }, ignore);
    const [features, logits] = [await runOnnx(encoder, pictures), await runOnnx(whole, pictures)];
    const { tensors } = readTensorFile(checkpoint);
    const [weight, bias] = [tensors.get('head.weight')!.data, tensors.get('head.bias')!.data];
    for (const [i, logit] of logits.data.entries()) {
      const [row, column] = [Math.floor(i / classes.length), i % classes.length];
      let sum = bias[column]!;
      for (let k = 0; k < width; k++) sum += weight[column * width + k]! * features.data[row * width + k]!;
      expect(Math.abs(sum - logit)).toBeLessThan(1e-4);
    }
    const options = { ...embedDefaults, checkpoint, dataPath: images, output: csv, pool: 'mean' } as const;
    await embed({ ...options, threads: 1, numWorkers: 0, device: 'cpu' }, ignore, ignore);
    const [, first] = readFileSync(csv, 'utf8').split('\n');
    const embedded = first!.split(',').slice(-width).map(Number);
    for (const [k, value] of embedded.entries())
      expect(Math.abs(value - features.data[k]!)).toBeLessThan(1e-4);
  });

  test('is a classifier, which --format web has no folder for', async () => {
    const options = { ...exportWebDefaults, threads: 1, numWorkers: 0, device: 'cpu', checkpoint };
    const listener = { note: ignore, stage: ignore, progress: ignore };
    await expect(exportWeb({ ...options, output: join(folder, 'web') }, listener)).rejects.toThrow(
      /^--format: expected hf, mae or timm for .*, which is a classifier, got web; mae export-classifier writes it/,
    );
    expect(existsSync(join(folder, 'web'))).toBe(false);
  });

  test.each(['cls', 'none'] as const)('has none of --pool %s', async (pool) => {
    const output = join(folder, 'never.onnx');
    await expect(
      exportEncoder({ ...place, checkpoint, output, format: 'onnx', pool }, ignore),
    ).rejects.toThrow(/^--pool: expected mean for .*, got (cls|none); give --pool mean$/);
  });

  test('starts no pretraining', async () => {
    await expect(loadInitialWeights(checkpoint, tinyModel)).rejects.toThrow(
      /^checkpoint: expected an encoder with a norm of its tokens in .*fc_norm/,
    );
  });
});
