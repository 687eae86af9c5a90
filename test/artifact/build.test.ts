import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import onnxProto from 'onnx-proto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { layOutArena } from '../../src/artifact/arena-layout.js';
import { readManifest } from '../../src/artifact/read-manifest.js';
import { writeArtifacts } from '../../src/artifact/write.js';
import { checkedKeptCount } from '../../src/model/mask.js';
import { maeParameters } from '../../src/model/parameters.js';
import { loadModelConfig, presetNames } from '../../src/model/presets.js';
import { UserError } from '../../src/util/errors.js';
import { type MaeArtifactOptions as ArtifactOptions, buildArtifacts } from '../support/mae-graphs.js';
import { smallModel } from '../support/small-model.js';

const config = smallModel;
const options: ArtifactOptions = { batchSize: 2, maskRatio: 0.75, normPixLoss: true, accumulate: false };
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mae-artifacts-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** Compiles a file of this folder and what it imports, since Node 20 reads no TypeScript; returns its path. */
function compile(file: string): string {
  const root = fileURLToPath(new URL('../../', import.meta.url));
  const compiled = join(folder, 'compiled');
  const compilerOptions = { rootDir: root, outDir: compiled, noCheck: true, sourceMap: false, types: [] };
  const files = [join(root, 'test/artifact', file)];
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ extends: join(root, 'tsconfig.json'), compilerOptions, include: [], files }),
  );
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'));
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder]);
  return join(compiled, 'test/artifact', file.replace('.ts', '.js'));
}

describe('the bytes', () => {
  test('are the same in another process', () => {
    const argv = [compile('build-child.ts'), JSON.stringify(config), JSON.stringify(options)];
    const child = JSON.parse(execFileSync(process.execPath, argv, { encoding: 'utf8' })) as Record<
      string,
      string
    >;
    const here = Object.fromEntries(
      [...buildArtifacts(config, options).files].map(([name, b]) => [name, sha256(b)]),
    );
    expect(Object.keys(here)).toHaveLength(5);
    expect(child).toEqual(here);
  });

  test.each<[string, Partial<ArtifactOptions>]>([
    ['batch size', { batchSize: 3 }],
    ['mask ratio', { maskRatio: 0.5 }],
    ['share that is predicted', { predictRatio: 0.5 }],
    ['loss', { normPixLoss: false }],
    ['accumulation', { accumulate: true }],
  ])('differ for another %s', (_, other) => {
    const file = 'training_model.onnx';
    const [one, two] = [options, { ...options, ...other }].map(
      (o) => buildArtifacts(config, o).files.get(file)!,
    );
    expect(sha256(one!)).not.toBe(sha256(two!));
  });
});

describe('the share of the removed patches that is predicted', () => {
  test.each([undefined, 'fp32', 'bf16'] as const)('of 1 changes no byte, kernels: %s', (kernelPrecision) => {
    const [whole, one] = [{}, { predictRatio: 1 }].map(
      (ratio) => buildArtifacts(config, { ...options, ...ratio, kernelPrecision }).files,
    );
    expect(one).toEqual(whole);
  });

  test('is in the manifest as a number of patches, where those are not all', () => {
    const manifestOf = (predictRatio: number) =>
      buildArtifacts(config, { ...options, predictRatio }).manifest;
    expect(manifestOf(1).options).not.toHaveProperty('predicted');
    expect(manifestOf(0.99).options).not.toHaveProperty('predicted'); // 11.88 of 12
    expect(manifestOf(0.5).options).toMatchObject({ kept: 4, predicted: 6 });
    expect(manifestOf(0.01).options).toMatchObject({ kept: 4, predicted: 1 });
  });

  test('leaves the evaluation graph and the optimizer as they are, and takes less memory', () => {
    const [whole, some] = [1, 0.5].map((predictRatio) =>
      buildArtifacts(config, { ...options, predictRatio }),
    );
    for (const file of ['eval_model.onnx', 'optimizer_model.onnx'])
      expect(some!.files.get(file), file).toEqual(whole!.files.get(file));
    expect(some!.manifest.activationBytes).toBeLessThan(whole!.manifest.activationBytes);
  });

  test.each([0, -0.5, 1.01, Number.NaN])('of %f is the user’s error', (predictRatio) => {
    const build = () => buildArtifacts(config, { ...options, predictRatio });
    expect(build).toThrow(UserError);
    expect(build).toThrow(`--predict-ratio: expected a number above 0 and at most 1, got ${predictRatio}`);
  });
});

describe('the manifest', () => {
  const { manifest, files } = buildArtifacts(config, options);
  const portsOf = (file: string) => {
    const { graph } = onnxProto.onnx.ModelProto.decode(files.get(file)!);
    return {
      inputs: graph!.input!.map(({ name }) => name!),
      outputs: graph!.output!.map(({ name }) => name!),
    };
  };

  test('states what the graphs are', () => {
    expect(manifest).toMatchObject({
      formatVersion: 2,
      opset: 20,
      task: 'mae',
      options: { maskRatio: 0.75, patches: 16, kept: 4, normPixLoss: true },
      metadata: { mask_ratio: '0.75', norm_pix_loss: 'true' },
      model: config,
      batchSize: 2,
      inputs: [
        { name: 'images', type: 'uint8', shape: [2, 32, 32, 3], content: 'pixels' },
        { name: 'ids_shuffle', type: 'int64', shape: [2, 16], content: 'permutation' },
      ],
      outputs: [
        { name: 'loss', shape: [] },
        { name: 'image_loss', shape: [2] },
        { name: 'pred', shape: [2, 16, 192] },
      ],
      accumulate: false,
      optimizer: { beta1: 0.9, beta2: 0.95, epsilon: 1e-8 },
    });
    expect(
      buildArtifacts(config, { ...options, accumulate: true, normPixLoss: false }).manifest,
    ).toMatchObject({
      accumulate: true,
      options: { normPixLoss: false },
    });
  });

  test('has the size and hash of each graph', () => {
    expect(Object.keys(manifest.files)).toEqual([
      'training_model.onnx',
      'eval_model.onnx',
      'gradient_norm_model.onnx',
      'optimizer_model.onnx',
    ]);
    for (const [name, description] of Object.entries(manifest.files)) {
      const bytes = files.get(name)!;
      expect(description, name).toEqual({ bytes: bytes.byteLength, sha256: sha256(bytes) });
    }
  });

  test('names the gradients in the order in which the graph gives them, one for each trained parameter', () => {
    const { outputs } = portsOf('training_model.onnx');
    expect(outputs).toEqual(['loss', ...manifest.gradients, 'gradients_done']);
    const trained = manifest.parameters.filter(({ group }) => group !== 'fixed');
    expect([...manifest.gradients].sort()).toEqual(trained.map(({ name }) => `${name}_grad`).sort());
    // the backward pass ends at the front of the encoder
    expect(manifest.gradients[0]).toMatch(/^decoder_pred/);
    expect(['cls_token_grad', 'patch_embed.proj.bias_grad', 'patch_embed.proj.weight_grad']).toContain(
      manifest.gradients.at(-1),
    );
  });

  test('has the parameters that the graphs take, in the order of the model', () => {
    const parameters = maeParameters(config).map(({ name, shape, group }) => ({ name, shape, group }));
    expect(manifest.parameters.map(({ name, shape, group }) => ({ name, shape, group }))).toEqual(parameters);
    const names = parameters.map(({ name }) => name);
    expect(portsOf('training_model.onnx').inputs).toEqual(['images', 'ids_shuffle', 'loss_scale', ...names]);
    expect(portsOf('eval_model.onnx')).toEqual({
      inputs: ['images', 'ids_shuffle', ...names],
      outputs: ['loss', 'image_loss', 'pred'],
    });
  });

  test('graphs that accumulate also take a running gradient for each trained parameter', () => {
    const { files } = buildArtifacts(config, { ...options, accumulate: true });
    const { graph } = onnxProto.onnx.ModelProto.decode(files.get('training_model.onnx')!);
    const running = graph!
      .input!.map(({ name }) => name!)
      .filter((name) => name.endsWith('.accumulation.buffer'));
    const trained = maeParameters(config).filter(({ group }) => group !== 'fixed');
    expect(running.sort()).toEqual(trained.map(({ name }) => `${name}_grad.accumulation.buffer`).sort());
  });

  test('graphs are portable: operators of ONNX only', () => {
    for (const name of Object.keys(manifest.files)) {
      const { graph } = onnxProto.onnx.ModelProto.decode(files.get(name)!);
      expect(new Set(graph!.node!.map(({ domain }) => domain)), name).toEqual(new Set(['']));
    }
  });

  test('is written beside the graphs and read back', () => {
    const target = join(folder, 'new', 'artifacts');
    writeArtifacts({ manifest, files }, target);
    expect(readdirSync(target).sort()).toEqual([...files.keys()].sort());
    for (const [name, bytes] of files)
      expect(new Uint8Array(readFileSync(join(target, name)))).toEqual(new Uint8Array(bytes));
    expect(readManifest(target)).toEqual(manifest);
  });

  test('and graphs are written again only where their bytes differ', () => {
    const target = join(folder, 'again');
    writeArtifacts({ manifest, files }, target);
    const [same, changed] = ['eval_model.onnx', 'optimizer_model.onnx'].map((name) => join(target, name));
    writeFileSync(changed!, 'damaged');
    for (const path of [same!, changed!]) utimesSync(path, 1, 1);
    writeArtifacts({ manifest, files }, target);
    expect(statSync(same!).mtimeMs).toBe(1000);
    expect(sha256(readFileSync(changed!))).toBe(manifest.files['optimizer_model.onnx']!.sha256);
    expect(readdirSync(target).sort()).toEqual([...files.keys()].sort());
  });

  test('a folder that cannot be written to is the user’s error', () => {
    writeFileSync(join(folder, 'a-file'), '');
    const target = join(folder, 'a-file', 'artifacts');
    expect(() => writeArtifacts({ manifest, files }, target)).toThrow(UserError);
    expect(() => writeArtifacts({ manifest, files }, target)).toThrow(
      `to write into ${target}, got ENOTDIR; a part of this path is a file`,
    );
  });

  test('that is missing or of another version is the user’s error, with a remedy', () => {
    const none = join(folder, 'none');
    expect(() => readManifest(none)).toThrow(UserError);
    expect(() => readManifest(none)).toThrow('run mae build-artifacts');
    writeFileSync(join(folder, 'manifest.json'), JSON.stringify({ ...manifest, formatVersion: 9 }));
    expect(() => readManifest(folder)).toThrow(UserError);
    expect(() => readManifest(folder)).toThrow('expected format version 1 or 2, got 9');
  });
});

describe('the arena', () => {
  test.each(presetNames())('%s: aligned, disjoint, whole chunks', (name) => {
    const { arena, parameters } = layOutArena(maeParameters(loadModelConfig(name)));
    const ranges = {
      decayed: [0, arena.decayed],
      notDecayed: [arena.decayed, arena.trained],
      fixed: [arena.trained, arena.total],
    };
    let used = 0;
    for (const { name, shape, group, offset } of parameters) {
      const size = shape.reduce((product, axis) => product * axis, 1);
      const [start, end] = ranges[group] as [number, number];
      expect((offset * 4) % 64, name).toBe(0);
      expect(offset, name).toBeGreaterThanOrEqual(start);
      expect(offset + size, name).toBeLessThanOrEqual(end);
      used += size;
    }
    const ordered = [...parameters].sort((a, b) => a.offset - b.offset);
    for (const [i, { offset, name }] of ordered.slice(1).entries()) {
      const before = ordered[i]!;
      const end = before.offset + before.shape.reduce((product, axis) => product * axis, 1);
      expect(offset, `${before.name} ends before ${name}`).toBeGreaterThanOrEqual(end);
    }
    expect(arena.chunk).toBeGreaterThan(0);
    expect(arena.decayed % arena.chunk).toBe(0);
    expect(arena.trained % arena.chunk).toBe(0);
    expect(arena.total).toBeGreaterThanOrEqual(used);
    // padding: less than a chunk for each trained group and a line for each tensor
    expect(arena.total - used).toBeLessThan(2 * arena.chunk + 16 * (parameters.length + 1));
  });
});

describe('checkedKeptCount', () => {
  test('keeps and removes at least one patch', () => {
    expect(checkedKeptCount(config, 0.75)).toBe(4);
    expect(checkedKeptCount(config, 0.9375)).toBe(1);
    for (const maskRatio of [0, 1, 0.95, -0.5, 2, Number.NaN]) {
      expect(() => checkedKeptCount(config, maskRatio), String(maskRatio)).toThrow(UserError);
      expect(() => checkedKeptCount(config, maskRatio)).toThrow(`of 16 patches, got ${maskRatio}`);
    }
  });
});
