/** `--precision fp16` on the CPU, where it is for checks like these, and steps without a finite loss or gradient. */
import { cpSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { maeError, maeOk, maeOneLine } from '../support/cli.js';
import {
  filesOf,
  latestFolder,
  readLog,
  readTensorFile,
  savedSteps,
  writeTensorFile,
} from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, model, pictures, newRun, args } = await trainingFiles(24);
const half = { precision: 'fp16' };
const losses = (run: string) => readLog(run, 'train').map(({ loss }) => loss as number);
const statePath = (run: string) => join(latestFolder(run), 'state.json');
const readState = (run: string) => JSON.parse(readFileSync(statePath(run), 'utf8'));
/** As a version that kept no digests wrote it. */
function writeState(run: string, state: unknown): void {
  writeFileSync(statePath(run), JSON.stringify(state));
  rmSync(join(latestFolder(run), 'SHA256SUMS'));
}

describe('a run in float16', () => {
  test('learns as one in float32 does', async () => {
    const long = { epochs: 10, model: 'mae_vit_nano_patch8_64', 'warmup-epochs': 1 };
    const [plain, mixed] = [newRun(), newRun()];
    await maeOk(args(plain, { ...long, precision: 'fp32', 'no-kernels': true }));
    const { stderr } = await maeOk(args(mixed, { ...long, ...half }));
    expect(stderr).toMatch(/float16 products.*slow, for checks/);
    expect(losses(mixed)).toHaveLength(30);
    losses(mixed).forEach((loss, i) => {
      expect(Math.abs(loss / losses(plain)[i]! - 1), `step ${i + 1}`).toBeLessThan(0.01);
    });
    expect(losses(mixed)).not.toEqual(losses(plain));
    expect(losses(mixed).at(-1)!).toBeLessThan(0.7 * losses(mixed)[0]!);
    for (const line of readLog(mixed, 'train')) expect(line['loss_scale']).toBe(2 ** 16);
    for (const line of readLog(plain, 'train')) expect(line).not.toHaveProperty('loss_scale');
    expect(readState(mixed)).toMatchObject({ lossScale: { scale: 2 ** 16, goodSteps: 30 }, skippedSteps: 0 });
    expect(readState(plain)).not.toHaveProperty('lossScale');
    const manifest = JSON.parse(readFileSync(join(mixed, 'artifacts/manifest.json'), 'utf8'));
    expect(manifest).toMatchObject({ graphPrecision: 'fp16' });
    for (const { data } of readTensorFile(join(latestFolder(mixed), 'model.safetensors')).tensors.values()) {
      expect(data.every(Number.isFinite)).toBe(true);
    }
  });

  test('too large a scale skips steps until it is halved enough, and a resumed run goes on to the same bytes', async () => {
    const [start, whole, parts] = [newRun(), newRun(), newRun()];
    const options = { ...half, epochs: 4, 'accum-iter': 2, 'batch-size': 4 };
    await maeOk(args(start, { ...options, 'max-steps': 2 }));
    const scaled = { ...readState(start), lossScale: { scale: 2 ** 24, goodSteps: 1 } };
    writeState(start, scaled);
    for (const run of [whole, parts]) cpSync(start, run, { recursive: true });

    const { stderr } = await maeOk(args(whole, options));
    const skipped = readLog(whole, 'skipped_step');
    expect(skipped.length).toBeGreaterThan(1);
    const steps = skipped.map(({ step }) => step as number);
    expect(steps.slice(0, 2)).toEqual([3, 4]);
    skipped.forEach((line, i) => {
      expect(line).toMatchObject({ reason: 'overflow', loss_scale: 2 ** (24 - i) });
      expect(Number(line['loss'])).toBeGreaterThan(0);
      expect(line['grad_norm']).toMatch(/^(NaN|Infinity)$/);
      expect(stderr).toContain(
        `step ${steps[i]} skipped: gradients overflow, loss scale now ${2 ** (23 - i)}`,
      );
    });
    const taken = readLog(whole, 'train').map(({ step }) => step);
    const all = Array.from({ length: 12 }, (_, i) => i + 1);
    expect(taken).toEqual(all.filter((step) => !steps.includes(step)));
    expect(readState(whole)).toMatchObject({
      step: 12,
      epoch: 4,
      skippedSteps: skipped.length,
      lossScale: { scale: 2 ** (24 - skipped.length), goodSteps: 12 - steps.at(-1)! },
    });
    // means of the epochs are over the steps that were taken
    for (const { epoch, loss } of readLog(whole, 'epoch')) {
      const own = readLog(whole, 'train').filter((line) => line['epoch'] === epoch);
      const mean = own.reduce((sum, line) => sum + (line['loss'] as number), 0) / own.length;
      if (own.length > 0) expect(loss).toBeCloseTo(mean, 10);
      else expect(loss).toBeNull();
    }

    for (const last of [3, 4, 7, 12]) await maeOk(args(parts, { ...options, 'max-steps': last }));
    expect(filesOf(latestFolder(parts))).toEqual(filesOf(latestFolder(whole)));
    expect(readLog(parts, 'skipped_step').map(({ step, loss }) => [step, loss])).toEqual(
      skipped.map(({ step, loss }) => [step, loss]),
    );
  });

  test('interrupted, ends with the bytes of one left alone', async () => {
    const [whole, parts] = [newRun(), newRun()];
    const options = { ...half, epochs: 2, 'clip-grad': 0.1 };
    await maeOk(args(whole, options));
    for (const last of [1, 4, 6]) await maeOk(args(parts, { ...options, 'max-steps': last }));
    expect(filesOf(latestFolder(parts))).toEqual(filesOf(latestFolder(whole)));
  });

  test('goes on from a checkpoint that knows of no scale, and not from one that is none', async () => {
    const run = newRun();
    await maeOk(args(run, { ...half, 'max-steps': 2 }));
    const { lossScale, skippedSteps, skippedInEpoch, ...earlier } = readState(run);
    writeState(run, earlier);
    await maeOk(args(run, { ...half, 'max-steps': 3 }));
    expect(readState(run)).toMatchObject({ skippedSteps: 0, lossScale: { scale: 2 ** 16, goodSteps: 1 } });
    writeState(run, { ...readState(run), lossScale: { scale: 3, goodSteps: 0 } });
    expect(await maeError(args(run, half))).toMatch(
      /^checkpoint: expected a loss scale .*state\.json; resume from/,
    );
  });
});

describe('steps that give no number', () => {
  test('in a row end the run, with the images named and nothing saved of them', async () => {
    const start = newRun();
    await maeOk(args(start, { 'max-steps': 1 }));
    const weights = readTensorFile(join(latestFolder(start), 'model.safetensors'));
    weights.tensors.get('decoder_pred.bias')!.data[5] = 1e30; // its square is infinite
    const broken = join(folder, 'broken.safetensors');
    writeTensorFile(broken, weights);

    const run = newRun();
    const message = await maeError(args(run, { init: broken, 'max-bad-steps': 3, 'save-every-steps': 1 }));
    expect(message).toMatch(
      /^training: expected a finite loss and gradient, got a loss of Infinity and a gradient norm of (NaN|Infinity) in steps 1 to 3/,
    );
    expect(message).toContain(`${join(run, 'bad-batch-1.txt')} to bad-batch-3.txt`);
    expect(message).toMatch(/no checkpoint is good yet/);
    expect(savedSteps(run)).toEqual([]);
    // three batches of eight are the whole epoch
    const named = [1, 2, 3].map((step) =>
      readFileSync(join(run, `bad-batch-${step}.txt`), 'utf8')
        .trim()
        .split('\n'),
    );
    expect(named.map((list) => list.length)).toEqual([8, 8, 8]);
    expect(named.flat().sort()).toEqual([...pictures].sort());
    expect(readLog(run, 'skipped_step')).toMatchObject(
      [1, 2, 3].map((step) => ({
        step,
        reason: 'bad',
        loss: 'Infinity',
        grad_norm: expect.stringMatching(/^(NaN|Infinity)$/),
        images: `bad-batch-${step}.txt`,
      })),
    );
    expect(readLog(run, 'train')).toEqual([]);
  });

  test('after a step too long leave the checkpoint from before it', async () => {
    const run = newRun();
    const values = { lr: 1e35, 'warmup-epochs': 3, 'save-every-steps': 1, keep: 1, 'max-bad-steps': 2 };
    // the warm-up's first rate is 0: step 1 changes nothing, and step 2 the weights that it leaves are lost with
    const message = await maeError(args(run, values));
    expect(message).toMatch(
      /in steps 3 to 4, --max-bad-steps 2; .* the last good checkpoint is kept, .*step-1: start another/,
    );
    expect(latestFolder(run)).toBe(join(run, 'checkpoints', 'step-1'));
    for (const { data } of readTensorFile(join(latestFolder(run), 'model.safetensors')).tensors.values()) {
      expect(data.every((value) => Math.abs(value) < 10)).toBe(true);
    }
    expect(readdirSync(run).filter((name) => name.startsWith('bad-batch-'))).toEqual([
      'bad-batch-3.txt',
      'bad-batch-4.txt',
    ]);
  });

  test('at the end of a run are an error too', async () => {
    const message = await maeError(args(newRun(), { lr: 1e35, 'warmup-epochs': 0, 'max-steps': 3 }));
    expect(message).toMatch(/in steps 2 to 3, --max-bad-steps 10; /);
  });
});

test.each([
  ['tf32', 'pretrain', /^--precision tf32: expected a CUDA device/],
  ['fp8', 'pretrain', /^--precision: expected one of auto, fp32, tf32, fp16, bf16, got "fp8"/],
])('--precision %s is refused', async (precision, _, message) => {
  expect(await maeOneLine(args(newRun(), { precision }))).toMatch(message);
});

test('build-artifacts --precision: another training graph alone', async () => {
  const [plain, mixed] = ['fp32', 'bf16'].map((precision) => join(folder, `artifacts-${precision}`));
  await maeOk(['build-artifacts', '--model', model, '-o', plain!]);
  await maeOk(['build-artifacts', '--model', model, '--precision', 'bf16', '-o', mixed!]);
  const [all, some] = [filesOf(plain!), filesOf(mixed!)];
  expect(
    Object.keys(all)
      .filter((name) => some[name] !== all[name])
      .sort(),
  ).toEqual(['manifest.json', 'training_model.onnx']);
  const never = ['build-artifacts', '--model', model, '-o', join(folder, 'never')];
  const official = [...never, '--precision', 'bf16', '--runtime', 'onnxruntime-training'];
  expect(await maeOneLine(official)).toMatch(/^--precision.*: expected with/);
  expect(await maeOneLine([...never, '--kernels', '--precision', 'fp16'])).toBe(
    '--precision: expected fp32 or bf16 with --kernels, got fp16',
  );
});

test.each(['fp32', 'bf16'])(
  'build-artifacts --kernels --precision %s: our own operators',
  async (precision) => {
    const output = join(folder, `kernels-${precision}`);
    await maeOk(['build-artifacts', '--model', model, '--kernels', '--precision', precision, '-o', output]);
    const manifest = JSON.parse(readFileSync(join(output, 'manifest.json'), 'utf8'));
    expect(manifest.kernelPrecision).toBe(precision);
    expect(manifest).not.toHaveProperty('graphPrecision');
  },
);
