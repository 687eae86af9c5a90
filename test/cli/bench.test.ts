import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { maeOk, maeOneLine, startMae } from '../support/cli.js';
import { fileFolder } from '../support/cli-files.js';

const folder = fileFolder();
const nano = ['--model', 'mae_vit_nano_patch8_64', '--batch-size', '2'];

/** A folder for temporary files, to see that nothing stays. */
function temporary(name: string): string {
  const path = join(folder, name);
  mkdirSync(path);
  return path;
}

async function measure(args: readonly string[], scratch: string): Promise<Record<string, unknown>> {
  const { stdout } = await maeOk(['bench', ...args, '--json'], { env: { TMPDIR: scratch } });
  expect(stdout.trimEnd().split('\n')).toHaveLength(1);
  expect(readdirSync(scratch)).toEqual([]);
  return JSON.parse(stdout);
}

const positive = expect.toSatisfy((value) => Number.isFinite(value) && value > 0);

test('bench step', async () => {
  const result = await measure(
    ['step', ...nano, '--steps', '3', '--accum-iter', '2', '--predict-ratio', '0.5', '--profile'],
    temporary('step'),
  );
  expect(result).toMatchObject({
    model: 'mae_vit_nano_patch8_64',
    batch_size: 2,
    accum_iter: 2,
    predict_ratio: 0.5,
    steps: 3,
    median_step_seconds: positive,
    min_step_seconds: positive,
    images_per_second: positive,
    median_forward_backward_seconds: positive,
    median_optimizer_seconds: positive,
    peak_rss_bytes: positive,
    matmul_flops: positive,
    gflops: positive,
    gemm_peak_gflops: positive,
    gemm_peak_share: positive,
    with_data: {
      median_step_seconds: positive,
      images_per_second: positive,
      data_wait_share: expect.any(Number),
    },
  });
  const speed = 4 / (result['median_step_seconds'] as number);
  expect(result['images_per_second']).toBeCloseTo(speed, 6);
  expect(result['peak_rss_bytes']).toBeGreaterThan(50 * 2 ** 20);
  const { training, optimizer } = result['operators'] as Record<
    string,
    { operator: string; share: number }[]
  >;
  expect(training!.map(({ operator }) => operator)).toContainEqual(expect.stringContaining('Gemm'));
  for (const operators of [training!, optimizer!]) {
    expect(operators.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1);
  }
});

test('bench step without --json is a table', async () => {
  const { stdout } = await maeOk(['bench', 'step', ...nano, '--steps', '1'], {
    env: { TMPDIR: temporary('table') },
  });
  expect(stdout).toMatch(/^median step seconds +[\d.]+ m?s$/m);
  expect(stdout).toMatch(/^gemm peak share +[\d.]+ %$/m);
});

test('bench data', async () => {
  const images = join(folder, 'images');
  await maeOk(['sample-data', '-o', images, '--count', '12']);
  const args = ['--data-path', images, '--images', '24', '--batch-size', '4', '--num-workers', '1'];
  const result = await measure(['data', ...args], temporary('data'));
  expect(result).toMatchObject({ num_workers: 1, images_per_second: positive, seconds: positive });
  expect(result['images']).toBeGreaterThanOrEqual(24);
  const stages = result['stage_seconds_per_image'] as Record<string, number>;
  expect(stages).toMatchObject({ decode: positive, resample: positive });
});

test('bench bytes', async () => {
  const bytesIn = async (precision: string) => {
    const { stdout } = await maeOk([
      'bench',
      'bytes',
      ...nano.slice(0, 2),
      '--precision',
      precision,
      '--json',
    ]);
    const result = JSON.parse(stdout) as Record<string, number>;
    expect(result['total_bytes']).toBe(result['product_bytes']! + result['other_bytes']!);
    return result;
  };
  const [fp32, bf16] = [await bytesIn('fp32'), await bytesIn('bf16')];
  expect(bf16['product_bytes']! / fp32['product_bytes']!).toBeLessThan(0.75);
  expect(bf16['other_bytes']! / fp32['other_bytes']!).toBeLessThan(0.95);
});

test('bench startup', async () => {
  const args = ['startup', ...nano, '--repeats', '1'];
  const result = await measure(args, temporary('startup'));
  expect(result).toMatchObject({
    help_seconds: positive,
    graph_seconds: positive,
    first_step_seconds: positive,
    stages: { initialize_seconds: positive, sessions_seconds: positive, forward_backward_seconds: positive },
  });
});

test.each([
  ['while it writes its images', /images\/.*\.jpg$/],
  ['while it trains', /training_model\.onnx$/],
])('a signal %s ends it and leaves no temporary files', async (name, begun) => {
  const scratch = temporary(name);
  const running = startMae(['bench', 'step', ...nano, '--steps', '2000'], { env: { TMPDIR: scratch } });
  const files = () => readdirSync(scratch, { recursive: true, encoding: 'utf8' });
  while (!files().some((file) => begun.test(file))) await setTimeout(10);
  running.kill('SIGINT');
  expect((await running.ended).code).toBe(130);
  expect(readdirSync(scratch)).toEqual([]);
});

test.each<[string, string[], RegExp]>([
  ['nothing to measure', [], /^Name what to measure: step, data, bytes or startup/],
  ['something else', ['loudness'], /^Unknown argument: loudness/],
  ['no steps', ['step', '--steps', '0'], /^--steps: expected a whole number of at least 1/],
  ['no such model', ['step', '--model', 'vit'], /^--model: expected a JSON file or one of/],
  ['no such model to start', ['startup', '--model', 'vit'], /^--model: expected a JSON file or one of/],
  ['no such device', ['step', ...nano, '--device', 'tpu'], /^--device: expected/],
  ['no images', ['data', '--data-path', 'nowhere'], /^image folder: .*nowhere/],
  ['data without a folder', ['data'], /^Missing required argument: data-path/],
])('%s is one line', async (_, args, message) => {
  expect(await maeOneLine(['bench', ...args])).toMatch(message);
});
