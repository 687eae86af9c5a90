/** `--device`: what starts, what does not, and runs that go from one device to another. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import '../support/allclose.js';
import { maeError, maeOk } from '../support/cli.js';
import { type FlagValues, latestFolder, readLog, readTensorFile } from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';
import { webgpuProblem } from '../support/webgpu.js';

const files = await trainingFiles(16);
const { folder, images, model } = files;
const [picture] = files.pictures;
const run = (name: string): string => join(folder, name);
const args = (name: string, more: FlagValues) => files.args(run(name), more);
const losses = (name: string) => readLog(run(name), 'train').map(({ loss }) => loss as number);
const devices = (name: string) => readLog(run(name), 'start').map(({ device }) => device);
const isSwiftShader = process.env['VK_DRIVER_FILES']?.includes('swiftshader') ?? false;
/** No card and no Vulkan driver. */
const nothing = { CUDA_VISIBLE_DEVICES: '', VK_DRIVER_FILES: '/nowhere', VK_ICD_FILENAMES: '/nowhere' };

test.each(['cuda', 'cuda:9'])('%s that does not start is an error, not another device', async (device) => {
  const message = await maeError(args('never', { device }), { env: nothing });
  expect(message).toMatch(
    /^--device cuda: expected ONNX Runtime's CUDA provider at .*, found none; .*install/,
  );
  expect(existsSync(join(run('never'), 'config.json'))).toBe(false);
});

describe.runIf(process.platform === 'linux')('WebGPU without an adapter', () => {
  test.each([
    ['pretrain', () => args('never', { device: 'webgpu' })],
    ['bench step', () => ['bench', 'step', '--model', model, '--device', 'webgpu']],
  ])('%s says so', async (_, command) => {
    const message = await maeError(command(), { env: nothing });
    expect(message).toMatch(
      /^--device webgpu: expected a GPU with a driver for Vulkan .*got: .+; mae doctor .*/,
    );
  });

  test('auto takes the CPU, and the log and the console say why', async () => {
    const { stderr } = await maeOk(args('auto', { device: 'auto', 'max-steps': 1 }), { env: nothing });
    const why = /^CPU, --device auto \(no CUDA: .+; no WebGPU: .+\)/;
    expect(devices('auto')).toEqual([expect.stringMatching(why)]);
    expect(stderr).toMatch(new RegExp(why.source, 'm'));
  });
});

describe.skipIf(webgpuProblem !== undefined)('WebGPU', () => {
  test('auto does not take a software adapter', async () => {
    const env = { CUDA_VISIBLE_DEVICES: '' };
    const { stdout } = await maeOk([...args('plan', { device: 'auto' }), '--dry-run'], { env });
    const device = /^device +(.+)$/m.exec(stdout)![1]!;
    if (isSwiftShader) {
      expect(device).toMatch(/^CPU, --device auto \(no CUDA: .+; no WebGPU: no GPU, SwiftShader.* alone\)$/);
    } else expect(device).toMatch(/--device auto/);
  });

  test('bf16 products are the CPU’s', async () => {
    const message = await maeError(args('never', { device: 'webgpu', precision: 'bf16' }));
    expect(message).toMatch(/^--precision bf16: .*WebGPU.*use --precision fp32$/);
  });

  test.runIf(isSwiftShader)('fp16 without shader-f16 is an error', async () => {
    const message = await maeError(args('never', { device: 'webgpu', precision: 'fp16' }));
    expect(message).toMatch(
      /^--precision fp16: expected a WebGPU adapter with shader-f16.*use --precision fp32$/,
    );
  });

  test('a run goes from the CPU to WebGPU and back, and its numbers are the CPU’s', async () => {
    const options = { 'accum-iter': 2, 'batch-size': 4, 'val-path': images, precision: 'fp32' };
    await maeOk(args('cpu', { ...options, 'max-steps': 6 }));
    for (const [device, end] of [
      ['cpu', 2],
      ['webgpu', 4],
      ['cpu', 6],
    ] as const) {
      await maeOk(args('mixed', { ...options, device, 'max-steps': end }));
    }
    expect(devices('mixed')).toEqual(['CPU', expect.stringMatching(/^WebGPU/), 'CPU']);
    expect(losses('mixed').length).toBe(6);
    expect(losses('mixed')).toBeAllclose(losses('cpu'), { rtol: 0, atol: 1e-4 });
    const validation = (name: string) => readLog(run(name), 'val').map(({ loss }) => loss as number);
    expect(validation('mixed')).toBeAllclose(validation('cpu'), { rtol: 0, atol: 1e-4 });
    for (const file of ['model.safetensors', 'optimizer.safetensors']) {
      const [got, wanted] = [run('mixed'), run('cpu')].map((path) =>
        readTensorFile(join(latestFolder(path), file)),
      );
      for (const [name, { data }] of wanted!.tensors) {
        // of the keys' biases the gradient is rounding alone, of which AdamW makes steps
        if (name.endsWith('qkv.bias')) continue;
        expect(got!.tensors.get(name)!.data, name).toBeAllclose(data, { rtol: 1e-2, atol: 1e-5 });
      }
    }
  });

  test('reconstruct and export-encoder', async () => {
    await maeOk(args('small', { 'max-steps': 2 }));
    const lossOn = async (device: string) => {
      const output = join(folder, `${device}.png`);
      const flags = ['--checkpoint', run('small'), '-o', output, '--device', device, '--json'];
      // as on a server that nobody has a desktop on
      const { stdout, stderr } = await maeOk(['reconstruct', picture, ...flags], {
        env: { XDG_RUNTIME_DIR: '' },
      });
      expect(stderr).toBe('');
      return (JSON.parse(stdout) as { loss: number }).loss;
    };
    expect([await lossOn('webgpu')]).toBeAllclose([await lossOn('cpu')], { rtol: 0, atol: 1e-4 });
    const { stdout } = await maeOk([
      ...['export-encoder', '--checkpoint', run('small'), '-o', join(folder, 'encoder.onnx')],
      ...['--device', 'webgpu'],
    ]);
    expect(stdout).toMatch(/largest difference from the evaluation graph [\d.]+e-\d/);
  });

  test('bench step', async () => {
    const { stdout } = await maeOk([
      ...['bench', 'step', '--model', model, '--batch-size', '2', '--steps', '1', '--num-workers', '0'],
      ...['--device', 'webgpu', '--json'],
    ]);
    const result = JSON.parse(stdout) as Record<string, unknown>;
    expect(result['device']).toMatch(/^WebGPU/);
    expect(result['median_step_seconds']).toBeGreaterThan(0);
  });
});
