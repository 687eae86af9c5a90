import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { root } from './support/cli.js';
import { fileFolder, readLog } from './support/cli-files.js';

const folder = fileFolder();
const prefix = join(folder, 'prefix');
const run = promisify(execFile);

interface Packed {
  readonly filename: string;
  readonly version: string;
  readonly files: readonly { readonly path: string; readonly mode: number }[];
}

let packed: Packed;
beforeAll(async () => {
  const { stdout } = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root });
  [packed] = JSON.parse(stdout) as [Packed];
});

describe('npm pack', () => {
  test('makes a tarball of what runs, without tests and sources', () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    expect(packed.filename).toBe(`mae-${version}.tgz`);
    expect(existsSync(join(folder, packed.filename))).toBe(true);
    const paths = packed.files.map(({ path }) => path);
    const expected = [
      /^(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/,
      /^bin\/(mae|check-node)\.js$/,
      /^models\/\w+\.json$/,
      /^dist\/([\w-]+\/)+[\w-]+\.js$/,
      /^dist\/page\/report\.css$/,
      /^dist\/\w+\/wasm\/\w+\.wasm$/,
      /^models\/recipes\/(finetune|pretrain)\/[a-z]+\.json$/,
      /^dist\/kernels\/libmae_kernels\.so$/,
    ];
    expect(paths.filter((path) => !expected.some((pattern) => pattern.test(path)))).toEqual([]);
    for (const path of [
      'package.json',
      'bin/mae.js',
      'dist/cli/main.js',
      'dist/data/loader-worker.js',
      'dist/util/wasm/philox.wasm',
      'dist/page/report.js',
      'dist/page/report.css',
    ]) {
      expect(paths).toContain(path);
    }
    const isData = (path: string) => path.startsWith('models/') && path.endsWith('.json');
    const models = readdirSync(join(root, 'models'), { recursive: true }) as string[];
    expect(paths.filter(isData).sort()).toEqual(
      models
        .map((path) => `models/${path.replaceAll('\\', '/')}`)
        .filter(isData)
        .sort(),
    );
  });
});

describe('npm install -g', () => {
  /** Why the packages cannot be had, if so. */
  let reason: string | undefined;
  const images = join(folder, 'images');
  const output = join(folder, 'run');

  const mae = (...args: string[]) => {
    const path = [join(prefix, 'bin'), dirname(process.execPath), process.env['PATH']].join(delimiter);
    const env = { ...process.env, PATH: path, XDG_CACHE_HOME: join(folder, 'cache') };
    return run('mae', args, { cwd: folder, env });
  };

  beforeAll(async () => {
    mkdirSync(prefix);
    // without install scripts, as .npmrc has it here: that of onnxruntime-node downloads CUDA's libraries
    const flags = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund'];
    const tarball = join(folder, packed.filename);
    try {
      await run('npm', ['install', '--global', '--prefix', prefix, ...flags, tarball], { cwd: folder });
    } catch (error) {
      const { stderr } = error as { stderr: string };
      const unreachable = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ENOTCACHED/.exec(
        stderr,
      );
      if (unreachable === null) throw error;
      reason = `npm reaches neither its registry nor its cache (${unreachable[0]})`;
      console.warn(`skipped: ${reason}`);
    }
  }, 240_000);

  test('puts a working mae on the path', async (context) => {
    if (reason !== undefined) context.skip(reason);
    expect(await mae('--version')).toEqual({ stdout: `${packed.version}\n`, stderr: '' });
    const installed = join(prefix, 'lib', 'node_modules', 'mae');
    expect(existsSync(join(installed, 'node_modules', 'onnxruntime-node'))).toBe(true);
    expect(existsSync(join(installed, 'node_modules', 'vitest'))).toBe(false);

    expect((await mae('sample-data', '-o', images, '--count', '9')).stdout).toBe(`9 images in ${images}\n`);
    const model = ['--model', 'mae_vit_nano_patch8_64', '--batch-size', '3', '--warmup-epochs', '0'];
    const paths = ['--data-path', images, '--output-dir', output];
    await mae('pretrain', ...paths, ...model, '--epochs', '1', '--max-steps', '2', '--log-every', '1');
    expect(readLog(output, 'train').map(({ step }) => step)).toEqual([1, 2]);

    await mae('report', output, '-o', 'report.html');
    expect(readFileSync(join(folder, 'report.html'), 'utf8')).toMatch(/^<!doctype html>.*mae report/);

    const picture = join(folder, 'picture.png');
    const image = join(images, 'textures', 'textures-00001.jpg');
    const { stdout } = await mae('reconstruct', image, '--checkpoint', output, '-o', picture, '--json');
    expect(JSON.parse(stdout)).toMatchObject({ image, output: picture, mask_ratio: 0.75 });
    const { format, width, height } = await sharp(picture).metadata();
    expect({ format, width, height }).toEqual({ format: 'png', width: 4 * 200 + 8, height: 208 });
  });
});
