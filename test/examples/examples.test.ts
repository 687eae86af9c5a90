/** Each file of examples/, run as its first lines say. */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { beforeAll, expect, test } from 'vitest';
import '../support/allclose.js';
import { chromiumPath, noChromium, openPage } from '../support/chromium.js';
import { writeClassFolders } from '../support/class-folders.js';
import { cacheFolder, maeOk, maeScript, root } from '../support/cli.js';
import { readTensorFile, tinyModel } from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, args } = await trainingFiles(16);
const at = (...names: string[]) => join(folder, ...names);
const example = (name: string) => join(root, 'examples', name);
const [run, web, photos] = [at('run'), at('encoder'), at('photos')];
const { inputSize: side, embedDim: width } = tinyModel;
const picture = at('one', 'picture.png');
let wanted: Float32Array;

beforeAll(async () => {
  await maeOk(args(run, { 'max-steps': 3 }));
  await writeClassFolders(photos, 3);
  mkdirSync(dirname(picture));
  await sharp(join(photos, 'red/1.png')).resize(side, side, { fit: 'cover' }).png().toFile(picture);
  await maeOk(['export', '--checkpoint', run, '--format', 'web', '-o', web]);
  const output = at('one.safetensors');
  await maeOk(['embed', '--checkpoint', run, '--data-path', dirname(picture), '-o', output]);
  wanted = readTensorFile(output).tensors.get('features')!.data as Float32Array;
});

/** The features that a program prints as JSON. */
function expectFeatures(stdout: string, count = 1): void {
  const lines = stdout.trimEnd().split('\n');
  expect(lines).toHaveLength(count);
  const { picture: named, features } = JSON.parse(lines.at(-1)!);
  expect(named).toBe(picture);
  expect(features).toHaveLength(width);
  expect(features).toBeAllclose(wanted, { rtol: 0, atol: 1e-4 });
}

const runFile = promisify(execFile);

test('none is longer than a screen', () => {
  const names = readdirSync(join(root, 'examples')).sort();
  expect(names).toEqual(['classify.html', 'features.go', 'features.mjs', 'features.py', 'search.mjs']);
  for (const name of names) {
    expect(readFileSync(example(name), 'utf8').split('\n').length, name).toBeLessThan(70);
  }
});

test('search.mjs finds the pictures that are most like one', async () => {
  const bin = at('bin');
  mkdirSync(bin);
  writeFileSync(join(bin, 'mae'), `#!/bin/sh\nexec "${process.execPath}" "${maeScript}" "$@"\n`);
  chmodSync(join(bin, 'mae'), 0o755);
  const env = { ...process.env, XDG_CACHE_HOME: cacheFolder, PATH: `${bin}:${process.env['PATH']}` };
  const query = join(photos, 'red/1.png');
  const { stdout } = await runFile(process.execPath, [example('search.mjs'), run, photos, query, '3'], {
    env,
  });
  const lines = stdout.trimEnd().split('\n');
  expect(lines[0]).toBe(`1.000 ${query}`);
  expect(lines.map((line) => line.split(' ')[1]!.split('/').at(-2))).toEqual(['red', 'red', 'red']);
});

test('features.mjs: Node with onnxruntime-node', async () => {
  const other = join(photos, 'blue/0.png');
  const { stdout } = await runFile(process.execPath, [example('features.mjs'), web, other, picture]);
  expectFeatures(stdout, 2);
});

const python = [process.env['MAE_ORACLE_PYTHON'], join(root, 'test/oracle/.venv/bin/python'), 'python3'].find(
  (command) =>
    command !== undefined &&
    spawnSync(command, ['-c', 'import numpy, onnxruntime, PIL'], { stdio: 'ignore' }).status === 0,
);
const noPython = 'no Python with numpy, onnxruntime and Pillow: judge_web.py of the oracle runs it';
if (python === undefined) console.log(noPython);

test.skipIf(python === undefined)(`features.py: Python with onnxruntime (else: ${noPython})`, async () => {
  const { stdout } = await runFile(python!, [example('features.py'), web, picture]);
  expectFeatures(stdout);
});

const goOptions = (cwd: string) =>
  ({ cwd, stdio: 'pipe', env: { ...process.env, CGO_ENABLED: '1', GOFLAGS: '-mod=mod' } }) as const;

/** A module of Go with the example and what it needs; why there is none. */
function goModule(): { module: string } | { reason: string } {
  if (spawnSync('go', ['version'], { stdio: 'ignore' }).status !== 0) return { reason: 'no Go' };
  const module = at('go');
  mkdirSync(module);
  copyFileSync(example('features.go'), join(module, 'features.go'));
  const options = goOptions(module);
  try {
    execFileSync('go', ['mod', 'init', 'features'], options);
    const packages = ['github.com/yalue/onnxruntime_go@v1.27.0', 'golang.org/x/image@v0.48.0'];
    execFileSync('go', ['get', ...packages], { ...options, timeout: 120_000 });
    return { module };
  } catch (error) {
    return {
      reason: `no modules of Go: ${String((error as { stderr?: Buffer }).stderr ?? error).slice(0, 300)}`,
    };
  }
}

test('features.go: Go with ONNX Runtime', async ({ skip }) => {
  const made = goModule();
  if ('reason' in made) {
    console.log(made.reason);
    return skip(made.reason);
  }
  execFileSync('go', ['build', '-o', 'features', '.'], goOptions(made.module));
  const resolved = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const library = join(resolved, 'bin/napi-v6', process.platform, process.arch, 'libonnxruntime.so.1');
  const { stdout } = await runFile(join(made.module, 'features'), [library, web, picture]);
  expectFeatures(stdout);
});

test.skipIf(chromiumPath === undefined)(`classify.html in Chromium (else: ${noChromium})`, async () => {
  copyFileSync(example('classify.html'), at('classify.html'));
  const { page, url, close } = await openPage(folder);
  try {
    await page.goto(`${url}/classify.html`);
    const state = page.locator('#state');
    await state.filter({ hasText: 'choose examples' }).waitFor({ timeout: 120_000 });
    await page.setInputFiles('#examples', photos);
    await state.filter({ hasText: 'knows' }).waitFor({ timeout: 120_000 });
    expect((await state.textContent())!.split(/\W+/).sort()).toEqual(['blue', 'green', 'knows', 'red']);
    await page.setInputFiles('#pictures', picture);
    await page.locator('#answers li').waitFor({ timeout: 120_000 });
    expect(await page.locator('#answers li').textContent()).toMatch(
      /^picture\.png: red \(0\.9\d\d|1\.000\)$/,
    );
  } finally {
    await close();
  }
});
