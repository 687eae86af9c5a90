/**
 * Everything that needs a card, judged on one: `npm run test:cuda -- [options]`.
 *
 *   --device D        cuda (default) or cuda:N; another device goes through the same checks, as far as it has them
 *   --model M         of the comparisons (default mae_vit_tiny_patch16)
 *   --batch-size B    (default 32)
 *   --steps A,B,C     of the comparison with the CPU, of the memory's growth, of the precisions (default 20,500,300)
 *   --precisions P,Q  to compare with fp32 (default fp16,bf16)
 *   --data-path DIR   images (default: sample images)
 *
 * Exit code 0 where all checks pass or there is no card, which it says; 1 where one fails.
 */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { queryCudaDriver } from '../../dist/runtime/cuda/driver.js';
import { tryProvider } from '../../dist/runtime/providers.js';
import { CardSampler } from './card-sampler.mjs';

const maeScript = fileURLToPath(new URL('../../bin/mae.js', import.meta.url));
const { values: options } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    model: { type: 'string', default: 'mae_vit_tiny_patch16' },
    'batch-size': { type: 'string', default: '32' },
    steps: { type: 'string', default: '20,500,300' },
    precisions: { type: 'string', default: 'fp16,bf16' },
    'data-path': { type: 'string' },
  },
});
const { device } = options;
const isCuda = device.startsWith('cuda');
if (isCuda) {
  const driver = queryCudaDriver();
  const problem = 'problem' in driver ? driver.problem : tryProvider('CUDA').problem;
  if (problem !== undefined) {
    console.log(
      `test:cuda: skipped, for there is no card to test on (${problem}); mae doctor says what to do`,
    );
    process.exit(0);
  }
  console.log(
    `${driver.cards.map(({ name }) => name).join(', ')}; the driver serves CUDA ${driver.cudaVersion}`,
  );
}
const [compareSteps, growthSteps, precisionSteps] = options.steps.split(',').map(Number);

const scratch = mkdtempSync(join(tmpdir(), 'mae-cuda-'));
const running = new Set();
process.on('exit', () => {
  for (const child of running) child.kill();
  rmSync(scratch, { recursive: true, force: true });
});
process.on('SIGINT', () => process.exit(130));

/** Runs `mae`; an error with what it printed where it fails. `onStart` gets the process. */
async function mae(args, onStart) {
  const child = spawn(process.execPath, [maeScript, ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
  running.add(child);
  let stderr = '';
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  onStart?.(child);
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  running.delete(child);
  if (code !== 0) throw new Error(`mae ${args.join(' ')}: exit code ${code}\n${stderr.slice(-2000)}`);
}

let dataPath = options['data-path'];
if (dataPath === undefined) {
  dataPath = join(scratch, 'images');
  await mae(['sample-data', '-o', dataPath, '--count', String(4 * Number(options['batch-size']))]);
}

/** Trains and returns the lines of its log for steps. */
async function train(name, steps, flags, onStart) {
  const run = join(scratch, name);
  const common = [
    '--model',
    options.model,
    '--batch-size',
    options['batch-size'],
    '--lr',
    '1e-3',
    '--seed',
    '0',
  ];
  const ends = ['--epochs', '1000', '--warmup-epochs', '1', '--max-steps', String(steps), '--log-every', '1'];
  const rare = ['--save-every', '1000', '--keep', '1'];
  await mae(
    ['pretrain', '--data-path', dataPath, '--output-dir', run, ...common, ...ends, ...rare, ...flags],
    onStart,
  );
  const lines = readFileSync(join(run, 'log.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  return lines.filter(({ loss, lr }) => loss !== undefined && lr !== undefined);
}

const rows = [];
let failed = false;
/** Runs a check, which returns what it measured and whether that is within its limit. */
async function check(what, limit, run) {
  let result;
  try {
    result = await run();
  } catch (error) {
    result = { measured: error.message.split('\n').slice(0, 2).join(' '), ok: false };
    console.error(error.message);
  }
  failed ||= !result.ok;
  rows.push([what, result.measured, limit, result.ok ? 'passed' : 'FAILED']);
  console.log(`${result.ok ? 'passed' : 'FAILED'}: ${what}: ${result.measured} (${limit})`);
}

const relative = (a, b) => Math.abs(a - b) / Math.abs(b);
const mean = (numbers) => numbers.reduce((sum, each) => sum + each, 0) / numbers.length;
const plain = ['--precision', 'fp32'];

await check(`${compareSteps} steps on the CPU and on ${device}, fp32`, 'losses within 1e-4', async () => {
  const cpu = await train('cpu', compareSteps, ['--device', 'cpu', '--no-kernels', ...plain]);
  const card = await train('card', compareSteps, ['--device', device, ...plain]);
  const worst = Math.max(...card.map(({ loss }, i) => relative(loss, cpu[i].loss)));
  return {
    measured: `largest difference ${worst.toExponential(1)}`,
    ok: card.length === compareSteps && worst < 1e-4,
  };
});

await check(
  'a checkpoint of the card goes on on the CPU, and one of the CPU on the card',
  'losses within 1e-4',
  async () => {
    const more = compareSteps + 2;
    const [there, back] = [
      await train('card', more, ['--device', 'cpu', '--no-kernels', ...plain]),
      await train('cpu', more, ['--device', device, ...plain]),
    ];
    const worst = Math.max(...[1, 2].map((i) => relative(there.at(-i).loss, back.at(-i).loss)));
    return { measured: `largest difference ${worst.toExponential(1)}`, ok: worst < 1e-4 };
  },
);

/** Of runs that are compared while they share a card: rounding that differs grows with every step. */
const sharedSteps = Math.min(growthSteps, 100);
await check(`4 runs that share ${device}, fp32`, 'losses within 1e-4 of those alone', async () => {
  const alone = await train('alone', sharedSteps, ['--device', device, ...plain]);
  const together = await Promise.all(
    [0, 1, 2, 3].map((i) => train(`together-${i}`, sharedSteps, ['--device', device, ...plain])),
  );
  const worst = Math.max(
    ...together.flatMap((lines) => lines.map(({ loss }, i) => relative(loss, alone[i].loss))),
  );
  const ok = together.every((lines) => lines.length === sharedSteps) && worst < 1e-4;
  return { measured: `largest difference ${worst.toExponential(1)}`, ok };
});

await check(
  `memory over ${growthSteps} steps`,
  'after the first tenth the card’s grows by less than 1 %, the host’s by less than 5 %',
  async () => {
    const sampler = new CardSampler(device);
    const lines = await train('growth', growthSteps, ['--device', device], (child) =>
      sampler.start(child.pid),
    );
    const { growth, peakBytes } = sampler.stop();
    const sizes = Object.entries(growth).map(([name, share]) => `${name} ${(100 * share).toFixed(2)} %`);
    const ok =
      lines.length === growthSteps &&
      sizes.length > 0 &&
      Object.entries(growth).every(([name, share]) => share < (name === 'card' ? 0.01 : 0.05));
    const peak = peakBytes === undefined ? '' : `, card at most ${(peakBytes / 2 ** 30).toFixed(2)} GiB`;
    return { measured: `${sizes.join(', ') || 'too short to sample'}${peak}`, ok };
  },
);

const tail = (lines) => mean(lines.slice(-Math.ceil(lines.length / 6)).map(({ loss }) => loss));
let reference;
for (const precision of options.precisions.split(',').filter(Boolean)) {
  await check(`${precision} against fp32 over ${precisionSteps} steps`, 'loss within 1 %', async () => {
    reference ??= tail(await train('fp32', precisionSteps, ['--device', device, ...plain]));
    const loss = tail(await train(precision, precisionSteps, ['--device', device, '--precision', precision]));
    const difference = relative(loss, reference);
    const measured = `${loss.toFixed(5)}, fp32 ${reference.toFixed(5)}: ${(100 * difference).toFixed(2)} %`;
    return { measured, ok: difference < 0.01 };
  });
}

const header = ['check', 'measured', 'limit', ''];
const table = [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
console.log(`\n${table.join('\n')}`);
process.exit(failed ? 1 : 0);
