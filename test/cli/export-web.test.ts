/** `mae export --format web`: opened by transformers.js, in Node and in Chromium, by onnxruntime-web, and read back. */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import onnxProto from 'onnx-proto';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { renderSampleImage } from '../../src/data/pictures/sample-images.js';
import { openClassFolders } from '../../src/jobs/evaluation/class-folders.js';
import { judge } from '../../src/jobs/evaluation/judge.js';
import { exportWeb, exportWebDefaults } from '../../src/jobs/export-web.js';
import { extractFeatures } from '../../src/jobs/features.js';
import { Runtime } from '../../src/runtime/runtime.js';
import { loadEncoder } from '../../src/weights/foreign/weights.js';
import '../support/allclose.js';
import { chromiumPath, noChromium, openPage } from '../support/chromium.js';
import { writeClassFolders } from '../support/class-folders.js';
import { maeOk, maeOneLine, root } from '../support/cli.js';
import { filesOf, latestFolder, readTensorFile, tinyModel } from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, args } = await trainingFiles(16);
const at = (...names: string[]) => join(folder, ...names);
const [run, web, pictures] = [at('run'), at('web'), at('pictures')];
const { inputSize: side, embedDim: width } = tinyModel;
const tokens = 17;
const names = ['0.png', '1.png', '2.png'];
const paths = names.map((name) => join(pictures, name));
let stdout: string;
/** Of `mae embed`: [3, D] and [3, 1 + L, D]. */
let mean: Float32Array;
let all: Float32Array;

beforeAll(async () => {
  const probes = [at('learn'), at('ask')];
  for (const [i, path] of probes.entries()) await writeClassFolders(path, 5 - i);
  const probe = { 'probe-path': probes[0]!, 'probe-val-path': probes[1]!, 'probe-every': 1 };
  await maeOk(args(run, { 'max-steps': 3, ...probe }));
  mkdirSync(pictures);
  for (const [i, path] of paths.entries()) {
    const { data } = renderSampleImage(3, i, side, side);
    await sharp(data, { raw: { width: side, height: side, channels: 3 } })
      .png()
      .toFile(path);
  }
  ({ stdout } = await maeOk(['export', '--checkpoint', run, '--format', 'web', '-o', web]));
  [mean, all] = [await embedded(run, 'mean'), await embedded(run, 'none')];
});

async function embedded(checkpoint: string, pool: string): Promise<Float32Array> {
  const output = at(`${pool}.safetensors`);
  await maeOk(['embed', '--checkpoint', checkpoint, '--data-path', pictures, '--pool', pool, '-o', output]);
  return readTensorFile(output).tensors.get('features')!.data as Float32Array;
}

interface Answer {
  readonly pooled: { readonly dims: number[]; readonly data: number[] };
  readonly tokens: { readonly dims: number[]; readonly data: number[] };
}

async function transformersJs(given: string, dtype = 'default'): Promise<Answer> {
  const script = fileURLToPath(new URL('../support/transformers-js.mjs', import.meta.url));
  const { stdout: answer } = await promisify(execFile)(process.execPath, [script, given, dtype, ...paths], {
    maxBuffer: 2 ** 26,
  });
  return JSON.parse(answer) as Answer;
}

function cosine(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const dot = (x: ArrayLike<number>, y: ArrayLike<number>) =>
    Array.from(x).reduce((sum, value, i) => sum + value * y[i]!, 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

const tolerance = { rtol: 0, atol: 1e-4 };

test('the files, what is printed of them, and nothing else', () => {
  expect(readdirSync(web, { recursive: true }).sort()).toEqual([
    ...['README.md', 'config.json', 'model.safetensors', 'onnx', 'onnx/model.onnx', 'onnx/model_fp16.onnx'],
    ...['onnx/model_quantized.onnx', 'preprocessor_config.json'],
  ]);
  const lines = stdout.trimEnd().split('\n');
  expect(lines[0]).toBe(`wrote ${web}`);
  expect(lines.slice(1, 3).map((line) => line.split(':')[0])).toEqual([
    `last_hidden_state [2, ${tokens}, ${width}]`,
    `pooler_output [2, ${width}]`,
  ]);
  expect(lines[4]).toMatch(
    /^onnx\/model_fp16\.onnx +\d\.\d MB {2}cosine with float32 (0\.9999\d|1\.00000), at least/,
  );
  expect(lines[5]).toMatch(
    /^onnx\/model_quantized\.onnx +\d\.\d MB {2}cosine with float32 (0\.99|1\.0)\d+, at least/,
  );
  expect(lines[6]).toBe('needs ONNX Runtime 1.12 or later (opset 17)');
});

describe('transformers.js in Node', () => {
  test('gives the features of mae embed, pooled and not', async () => {
    const { pooled, tokens: every } = await transformersJs(web);
    expect(pooled.dims).toEqual([3, width]);
    expect(pooled.data).toBeAllclose(mean, tolerance);
    expect(every.dims).toEqual([3, tokens, width]);
    expect(every.data).toBeAllclose(all, tolerance);
  });

  test.each([
    ['fp16', 0.9999],
    ['q8', 0.99],
  ])('gives nearly them from the model of %s', async (dtype, least) => {
    const { pooled } = await transformersJs(web, dtype);
    expect(cosine(pooled.data, mean)).toBeGreaterThan(least);
    expect(pooled.data).not.toBeAllclose(mean, { rtol: 0, atol: 1e-7 }); // another model
  });

  test('finds weights that are in files of their own', async () => {
    const output = at('split');
    const options = { ...exportWebDefaults, checkpoint: run, threads: 1, numWorkers: 0, device: 'cpu' };
    const limits = { largestInlineBytes: 1000, largestDataBytes: 8000 };
    await exportWeb(
      { ...options, ...limits, output },
      { note: () => {}, stage: () => {}, progress: () => {} },
    );
    const { 'transformers.js_config': config } = JSON.parse(
      readFileSync(join(output, 'config.json'), 'utf8'),
    );
    const { 'model.onnx': files } = config.use_external_data_format;
    expect(files).toBeGreaterThan(1);
    const found = readdirSync(join(output, 'onnx')).filter((name) => name.startsWith('model.onnx_data'));
    expect(found.sort()).toEqual(
      ['model.onnx_data', ...Array.from({ length: files - 1 }, (_, i) => `model.onnx_data_${i + 1}`)].sort(),
    );
    for (const dtype of ['fp32', 'q8']) {
      const [there, here] = [await transformersJs(output, dtype), await transformersJs(web, dtype)];
      expect(there).toEqual(here);
    }
    expect(statSync(join(output, 'onnx/model.onnx')).size).toBeLessThan(
      statSync(join(web, 'onnx/model.onnx')).size / 2,
    );
  });
});

describe.skipIf(chromiumPath === undefined)(`Chromium (else: ${noChromium})`, () => {
  /** What a module gives in a page beside the exported folder. */
  async function inPage<T>(script: string): Promise<T> {
    writeFileSync(at('page.html'), `<script type="module">${script}</script>`);
    const { page, url, close } = await openPage(folder);
    try {
      await page.goto(`${url}/page.html`);
      await page.waitForFunction('globalThis.answer || globalThis.failure', undefined, { timeout: 120_000 });
      expect(await page.evaluate('globalThis.failure')).toBeUndefined();
      return (await page.evaluate('globalThis.answer')) as T;
    } finally {
      await close();
    }
  }
  const attempt = (body: string) =>
    `try { ${body} } catch (error) { globalThis.failure = String(error?.stack ?? error); }`;

  test('transformers.js gives the features of mae embed', async () => {
    const { pooled, tokens: every } = await inPage<Answer>(
      attempt(`
        const { env, pipeline } = await import('https://cdn.jsdelivr.net/npm/@huggingface/transformers@4.3.1');
        Object.assign(env, { allowLocalModels: true, allowRemoteModels: false, localModelPath: './' });
        const extract = await pipeline('image-feature-extraction', 'web', { device: 'wasm' });
        const pictures = ${JSON.stringify(names.map((name) => `pictures/${name}`))};
        const plain = ({ dims, data }) => ({ dims, data: [...data] });
        const pooled = plain(await extract(pictures, { pool: true }));
        globalThis.answer = { pooled, tokens: plain(await extract(pictures)) };`),
    );
    expect(pooled.data).toBeAllclose(mean, tolerance);
    expect(every.data).toBeAllclose(all, tolerance);
  });

  test('onnxruntime-web gives them from pixels, and nearly them in 8 and 16 bits', async () => {
    const pixels: number[] = [];
    for (const path of paths) {
      const rgb = await sharp(path).removeAlpha().raw().toBuffer();
      const [means, stds] = [
        [0.485, 0.456, 0.406],
        [0.229, 0.224, 0.225],
      ] as const;
      for (let channel = 0; channel < 3; channel++) {
        for (let i = 0; i < side * side; i++)
          pixels.push((rgb[3 * i + channel]! / 255 - means[channel]!) / stds[channel]!);
      }
    }
    const answers = await inPage<number[][]>(
      attempt(`
        const base = 'https://cdn.jsdelivr.net/npm/onnxruntime-web@1.31.0/dist/';
        const ort = await import(base + 'ort.wasm.bundle.min.mjs');
        ort.env.wasm.wasmPaths = base;
        const pixels = new ort.Tensor('float32', new Float32Array(${JSON.stringify(pixels)}), [3, 3, ${side}, ${side}]);
        const answer = [];
        for (const name of ['model', 'model_fp16', 'model_quantized']) {
          const session = await ort.InferenceSession.create('web/onnx/' + name + '.onnx');
          answer.push([...(await session.run({ pixel_values: pixels })).pooler_output.data]);
        }
        globalThis.answer = answer;`),
    );
    expect(answers[0]).toBeAllclose(mean, tolerance);
    expect(cosine(answers[1]!, mean)).toBeGreaterThan(0.9999);
    expect(cosine(answers[2]!, mean)).toBeGreaterThan(0.99);
  });
});

test('--pool cls: pooler_output is the class token', async () => {
  const output = at('cls');
  await maeOk(['export', '--checkpoint', run, '--format', 'web', '-o', output, '--pool', 'cls']);
  const { pooled } = await transformersJs(output);
  const cls = [0, 1, 2].flatMap((i) => [...all.subarray(i * tokens * width, (i * tokens + 1) * width)]);
  expect(pooled.data).toBeAllclose(cls, tolerance);
});

test('products with weights are in 8 bits, but for the patches; nothing needs more than opset 17', () => {
  const { graph, opsetImport } = onnxProto.onnx.ModelProto.decode(
    readFileSync(join(web, 'onnx/model_quantized.onnx')),
  );
  const count = (op: string) => graph!.node!.filter(({ opType }) => opType === op).length;
  expect([count('MatMulInteger'), count('DynamicQuantizeLinear'), count('Gemm')]).toEqual([4, 4, 1]);
  expect(opsetImport!.map(({ domain, version }) => [domain, Number(version)])).toEqual([['', 17]]);
});

test('is read back as the same encoder', async () => {
  expect(await embedded(web, 'none')).toEqual(all);
});

test('the model card says where the weights come from, and no path of this machine', () => {
  const card = readFileSync(join(web, 'README.md'), 'utf8');
  const { dataset } = JSON.parse(readFileSync(join(run, 'config.json'), 'utf8'));
  expect(card).toContain(`3 steps of \`mae pretrain\``);
  expect(card).toContain(
    `on ${dataset.images} pictures (fingerprint of their names: \`${dataset.fingerprint}\`)`,
  );
  expect(card).toMatch(/\| mask-ratio \| 0\.75 \|/);
  expect(card).toMatch(
    /Measured in the run, at last: kNN [\d.]+ %, logistic regression [\d.]+ %, RankMe [\d.]+\./,
  );
  expect(card).toContain('He, Kaiming');
  expect(card).not.toContain(folder);
  expect(latestFolder(run)).toMatch(/step-3$/);
});

test('pictures with classes judge the smaller models, on the console and in the card', async () => {
  const output = at('judged');
  const { stdout: told } = await maeOk([
    ...['export', '--checkpoint', run, '--format', 'web', '-o', output],
    ...['--train-path', at('learn'), '--val-path', at('ask')],
  ]);
  const lines = told.split('\n').filter((line) => line.startsWith('onnx/'));
  expect(lines[0]).toMatch(/ kNN [\d.]+ % {2}logistic regression [\d.]+ %$/);
  for (const line of lines.slice(1)) {
    expect(line).toMatch(/ kNN [\d.]+ % \([+−][\d.]+\) {2}logistic regression [\d.]+ % \([+−][\d.]+\)$/);
  }
  // as the evaluation graph's features are judged
  const { config, parameters } = await loadEncoder(run);
  const sources = { trainPath: at('learn'), valPath: at('ask'), rescan: false };
  const folders = await openClassFolders(sources, () => {});
  const runtime = new Runtime({ threads: 1 });
  try {
    const tables = { train: folders.train, val: folders.val };
    const [train, val] = await Promise.all(
      Object.values(tables).map(async (source) => {
        const options = { pools: ['mean'], batchSize: 4, numWorkers: 0 } as const;
        const none = () => {};
        return (await extractFeatures(runtime, { config, parameters }, source, options, none, none)).mean;
      }),
    );
    const set = { features: 'ours', pool: 'mean', isBaseline: false, train: train!, val: val! } as const;
    const options = { classes: 3, methods: ['logreg'], shots: [], seed: 0 } as const;
    const { row } = await judge(runtime, set, options);
    expect(lines[0]).toContain(`logistic regression ${(100 * row.logreg!).toFixed(1)} %`);
  } finally {
    runtime.release();
  }
  expect(readFileSync(join(output, 'README.md'), 'utf8')).toMatch(
    /\| `onnx\/model_quantized\.onnx` \| [\d.]+ MB \| [\d.]+, at least [\d.]+ \| [\d.]+ % \| [\d.]+ % \|/,
  );
});

describe('a folder of', () => {
  const given = (output: string) => ['export', '--checkpoint', run, '--format', 'web', '-o', output];

  test('the same export is written anew to the same bytes', async () => {
    const before = filesOf(web);
    await maeOk(given(web));
    expect(filesOf(web)).toEqual(before);
  });

  test('something else is refused, and nothing is left in a new one of what fails', async () => {
    const [hf, own] = [at('hf'), at('own')];
    await maeOk(['export', '--checkpoint', run, '--format', 'hf', '-o', hf]);
    expect(await maeOneLine(given(hf))).toMatch(
      /expected a new folder or an export as web .*, got an export as hf/,
    );
    expect(await maeOneLine(['export', '--checkpoint', run, '--format', 'hf', '-o', web])).toMatch(
      /got an export as web/,
    );
    mkdirSync(own);
    writeFileSync(join(own, 'README.md'), 'mine');
    expect(await maeOneLine(given(own))).toMatch(/got README\.md/);
    expect(await maeOneLine([...given(at('new')), '--train-path', at('learn')])).toMatch(
      /^--val-path: expected a folder .* give both/,
    );
    const bad = [...given(at('new')), '--train-path', at('learn'), '--val-path', pictures];
    await maeOneLine(bad);
    expect(existsSync(at('new'))).toBe(false);
    expect(readdirSync(own)).toEqual(['README.md']);
  });

  test('flags of web are refused for other formats', async () => {
    const args = ['export', '--checkpoint', run, '--format', 'timm', '-o', at('timm'), '--pool', 'cls'];
    expect(await maeOneLine(args)).toMatch(/^--pool: expected --format web with it, got timm/);
  });
});

test('transformers.js comes from the lock file', () => {
  const { version } = JSON.parse(
    readFileSync(join(root, 'node_modules/@huggingface/transformers/package.json'), 'utf8'),
  );
  expect(version).toBe('4.3.1');
});
