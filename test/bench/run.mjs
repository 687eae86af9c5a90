/**
 * Ours and others', measured in turns on one machine: `npm run bench -- [step|data|startup ...] [options]`.
 *
 *   --model M --batch-size B   step: only this case (default: ViT-B batch 8 and ViT-L batch 4)
 *   --precision fp32,bf16      step: precisions of the peer
 *   --device cuda              step: on a card, ViT-B and ViT-L at batch 64, 128 and 256, against transformers and timm
 *                              under autocast (SDPA), each also compiled; with the card's memory and load
 *   --steps N                  step: steps that count in one turn (default 5)
 *   --data-path DIR            data: a folder with class sub-folders (default: sample images)
 *   --seconds S                data: of one turn (default 10)
 *   --repeats R                turns of each (default 3)
 *   --ours="FLAGS"            step: more flags for `mae bench step`, such as "--precision fp32"
 *   --markdown FILE            also writes the table there
 *
 * Turns alternate (A B C A B C …), so that what slows down the machine for a minute slows down all of them. The table
 * has medians over turns, and ratios of medians: above 1, ours is better. The peers (transformers and PyTorch,
 * torchvision) run on the Python of test/oracle/.venv (`npm run test:oracle` makes it) or of $MAE_BENCH_PYTHON.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { CardSampler } from '../cuda/card-sampler.mjs';

const root = fileURLToPath(new URL('../../', import.meta.url));
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const maeScript = join(root, 'bin', 'mae.js');
const kinds = ['step', 'data', 'startup'];

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    model: { type: 'string' },
    'batch-size': { type: 'string' },
    precision: { type: 'string' },
    device: { type: 'string', default: 'cpu' },
    steps: { type: 'string', default: '5' },
    'data-path': { type: 'string' },
    seconds: { type: 'string', default: '10' },
    repeats: { type: 'string', default: '3' },
    ours: { type: 'string', default: '' },
    markdown: { type: 'string' },
  },
});
const unknown = positionals.filter((name) => !kinds.includes(name));
const repeats = Number(options.repeats);
if (unknown.length > 0 || !Number.isInteger(repeats) || repeats < 1) {
  console.error(
    `bench: expected ${kinds.join(', ')} and --repeats of at least 1, got ${[...unknown, `--repeats ${options.repeats}`].join(' ')}`,
  );
  process.exit(1);
}
const isCuda = options.device.startsWith('cuda');
const asked = positionals.length > 0 ? positionals : isCuda ? ['step'] : kinds;
if (isCuda) {
  const { queryCudaDriver } = await import('../../dist/runtime/cuda/driver.js');
  const driver = queryCudaDriver();
  if ('problem' in driver) {
    console.log(
      `bench: skipped, for there is no card to measure (${driver.problem}); mae doctor says what to do`,
    );
    process.exit(0);
  }
}
const precisions = (options.precision ?? (isCuda ? 'bf16' : 'fp32,bf16')).split(',');

const scratch = mkdtempSync(join(tmpdir(), 'mae-bench-'));
let running;
process.on('exit', () => {
  running?.kill();
  rmSync(scratch, { recursive: true, force: true });
});
process.on('SIGINT', () => process.exit(130));
process.on('SIGTERM', () => process.exit(143));

/** The last line that a command prints, parsed. */
async function measure(command, args) {
  const child = spawn(command, args, { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] });
  running = child;
  let [stdout, stderr] = ['', ''];
  const sampler = new CardSampler(options.device);
  if (isCuda) sampler.start(child.pid);
  child.stdout.on('data', (text) => {
    stdout += text;
  });
  child.stderr.on('data', (text) => {
    stderr += text;
  });
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  const { peakBytes, utilization } = sampler.stop();
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: exit code ${code}\n${stderr}`);
  const result = JSON.parse(stdout.trim().split('\n').at(-1));
  return isCuda ? { ...result, card_bytes: peakBytes, card_load: utilization } : result;
}

const mae = (...args) => measure(process.execPath, [maeScript, ...args, '--json']);

function findPython() {
  const own = process.env.MAE_BENCH_PYTHON;
  const path = own ?? join(root, 'test', 'oracle', '.venv', 'bin', 'python');
  if (own !== undefined || existsSync(path)) return path;
  console.error(
    `bench: no Python at ${path}, so ours alone is measured. npm run test:oracle makes it; or set MAE_BENCH_PYTHON to one with torch, transformers and torchvision.`,
  );
  return undefined;
}
const python = findPython();
const peer =
  (script, ...args) =>
  () =>
    measure(python, [here(script), ...args]);

/** Runs all of `sides` in turns; their results by name. */
async function inTurns(title, sides) {
  const results = Object.fromEntries(Object.keys(sides).map((name) => [name, []]));
  for (let turn = 1; turn <= repeats; turn++) {
    for (const [name, side] of Object.entries(sides)) {
      const result = await side();
      results[name].push(result);
      const { median_step_seconds: step, images_per_second: speed, first_step_seconds: first } = result;
      const shown = step ?? speed ?? first;
      console.error(`  ${title}, turn ${turn} of ${repeats}: ${name} ${shown.toPrecision(4)}`);
    }
  }
  return results;
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const of = (results, key) => median(results.map((result) => result[key]));
const seconds = (value) => `${value.toPrecision(3)} s`;
const gibibytes = (value) => `${(value / 2 ** 30).toFixed(2)} GiB`;
const speed = (value) => `${value.toPrecision(4)} images/s`;

/** [what, ours, theirs, ratio] and the versions that were seen. */
const rows = [];
const versions = new Set([`node ${process.version}`]);

/** One row for each peer; `better` says whether less or more is. */
function compare(what, results, key, format, better) {
  const { ours, ...peers } = results;
  const mine = of(ours, key);
  if (Object.keys(peers).length === 0) rows.push([what, format(mine), '', '']);
  for (const [name, theirs] of Object.entries(peers)) {
    const other = of(theirs, key);
    const ratio = better === 'less' ? other / mine : mine / other;
    rows.push([what, format(mine), `${name} ${format(other)}`, ratio.toFixed(2)]);
  }
}

function noteVersions(results) {
  for (const { mae: own, onnxruntime, processor, peer: name, python: version, device } of Object.values(
    results,
  ).flat()) {
    if (processor) versions.add(processor);
    if (device && device !== 'cpu') versions.add(device);
    if (own) versions.add(`mae ${own}`);
    if (onnxruntime) versions.add(`ONNX Runtime ${onnxruntime}`);
    if (name) versions.add(`${name}, Python ${version}`);
  }
}

/** The peers of a step, by name: what they are called with beside model, batch and steps. */
function stepPeers() {
  if (!python) return {};
  if (!isCuda)
    return Object.fromEntries(precisions.map((each) => [`PyTorch ${each}`, ['--precision', each]]));
  const peers = precisions.flatMap((precision) =>
    ['transformers', 'timm'].flatMap((peer) =>
      [false, true].map((compiled) => {
        const flags = ['--device', options.device, '--precision', precision, '--peer', peer];
        // the first steps compile
        const compile = compiled ? ['--compile', '--warmup-steps', '5'] : [];
        return [`${peer} ${precision}${compiled ? ', compiled' : ''}`, [...flags, ...compile]];
      }),
    ),
  );
  return Object.fromEntries(peers);
}

async function step() {
  const { model, 'batch-size': batchSize } = options;
  const all = isCuda
    ? ['mae_vit_base_patch16', 'mae_vit_large_patch16'].flatMap((name) =>
        ['64', '128', '256'].map((size) => [name, size]),
      )
    : [
        ['mae_vit_base_patch16', '8'],
        ['mae_vit_large_patch16', '4'],
      ];
  const cases =
    model || batchSize ? [[model ?? 'mae_vit_base_patch16', batchSize ?? (isCuda ? '64' : '8')]] : all;
  for (const [name, size] of cases) {
    const common = ['--model', name, '--batch-size', size, '--steps', options.steps];
    const own = ['--device', options.device, ...options.ours.split(' ').filter(Boolean)];
    const sides = { ours: () => mae('bench', 'step', ...common, ...own) };
    for (const [peerName, flags] of Object.entries(stepPeers()))
      sides[peerName] = peer('pytorch-step.py', ...common, ...flags);
    const what = `${name}, batch ${size}`;
    const results = await inTurns(what, sides);
    noteVersions(results);
    compare(
      `${what}: step, ours in ${results.ours[0].precision}`,
      results,
      'median_step_seconds',
      seconds,
      'less',
    );
    if (isCuda) {
      compare(`${what}: images`, results, 'images_per_second', speed, 'more');
      compare(`${what}: most of the card's memory`, results, 'card_bytes', gibibytes, 'less');
      compare(`${what}: load of the card`, results, 'card_load', (value) => `${value.toFixed(0)} %`, 'more');
      const { operators } = await mae('bench', 'step', ...common, ...own, '--profile');
      for (const { operator, seconds: spent, share } of operators.training.slice(0, 10))
        rows.push([`${what}: ${operator}`, `${seconds(spent)}, ${(100 * share).toFixed(1)} %`, '', '']);
      continue;
    }
    compare(`${what}: peak memory`, results, 'peak_rss_bytes', gibibytes, 'less');
    const { ours, 'PyTorch fp32': plain } = results;
    const optimizers = plain ? { ours, 'PyTorch fused': plain } : { ours };
    compare(`${what}: AdamW alone`, optimizers, 'median_optimizer_seconds', seconds, 'less');
    const share = 100 * of(ours, 'gemm_peak_share');
    rows.push([
      `${what}: products`,
      `${of(ours, 'gflops').toFixed(0)} GFLOP/s, ${share.toFixed(0)} % of one large Gemm`,
      '',
      '',
    ]);
  }
}

async function data() {
  let path = options['data-path'];
  if (path === undefined) {
    path = join(scratch, 'images');
    const args = ['sample-data', '-o', path, '--count', '300'];
    const child = spawn(process.execPath, [maeScript, ...args], { stdio: 'ignore' });
    running = child;
    await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
    rows.push(['loader: sample images, smaller and smoother than photographs', '', '', '']);
  }
  for (const workers of ['1', '2']) {
    const common = ['--data-path', path, '--seconds', options.seconds];
    const sides = { ours: () => mae('bench', 'data', ...common, '--num-workers', workers) };
    if (python) sides.torchvision = peer('torchvision-loader.py', ...common, '--workers', workers);
    const what = `loader, ${workers} worker${workers === '1' ? '' : 's'}`;
    const results = await inTurns(what, sides);
    noteVersions(results);
    compare(what, results, 'images_per_second', speed, 'more');
  }
}

async function startup() {
  const model = options.model ?? 'mae_vit_large_patch16';
  const results = await inTurns(`start of ${model}`, {
    ours: () => mae('bench', 'startup', '--model', model, '--repeats', '1'),
  });
  noteVersions(results);
  compare('mae --help', results, 'help_seconds', seconds, 'less');
  compare(`${model}: describe, differentiate, serialise`, results, 'graph_seconds', seconds, 'less');
  compare(`${model}: first step from a cold start`, results, 'first_step_seconds', seconds, 'less');
}

for (const kind of asked) await { step, data, startup }[kind]();

const header = ['', 'ours', 'peer', 'ours is better by'];
const table = [header, header.map(() => '---'), ...rows]
  .map((cells) => `| ${cells.join(' | ')} |`)
  .join('\n');
const text = `${table}\n\nMedians of ${repeats} turns; ${[...versions].join('; ')}.\n`;
console.log(`\n${text}`);
if (options.markdown) writeFileSync(options.markdown, text);
