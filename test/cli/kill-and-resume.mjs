/**
 * Kills a training run with SIGKILL at random moments, resumes it with --resume auto each time until it ends, and
 * asks that nothing shows: weights, moments, state and the log's numbers are those of a run that nobody killed,
 * byte for byte.
 *
 *   node test/cli/kill-and-resume.mjs [options]      (after npm run build)
 *
 *   --kills N      how often to kill (10)
 *   --seed N       seed of the moments and of the run (0)
 *   --model M      preset or JSON file (a model that takes milliseconds a step)
 *   --data DIR     images (26 small ones and a damaged file, written here)
 *   --batch N      images in a micro-batch (2); a step has two of them
 *   --epochs N     length of the run (3 for each kill)
 *   --folder DIR   where to work; stays there afterwards (a temporary folder that goes)
 *
 * Kills are of three kinds in turn: while the program starts, between steps, and while a checkpoint is written
 * (at the moment at which its temporary folder shows). Exit code 0 if all is equal, 1 with the differences if not.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, watch, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { writeSampleImages } from '../../dist/data/pictures/sample-images.js';
import { RandomStream } from '../../dist/util/random.js';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '10' },
    seed: { type: 'string', default: '0' },
    model: { type: 'string' },
    data: { type: 'string' },
    batch: { type: 'string', default: '2' },
    epochs: { type: 'string' },
    folder: { type: 'string' },
  },
});
const kills = Number(values.kills);
const seed = Number(values.seed);
const random = new RandomStream(seed, 'sample');
const folder = values.folder ?? mkdtempSync(join(tmpdir(), 'mae-kills-'));
const mae = fileURLToPath(new URL('../../bin/mae.js', import.meta.url));
const kinds = ['starting', 'training', 'saving'];

async function writeImages(path) {
  await writeSampleImages(path, { count: 26, seed, width: 32, height: 24 });
  writeFileSync(join(path, 'damaged.jpg'), 'not a picture'); // its replacement and its count have to be resumed too
  return path;
}

function writeModel(path) {
  const encoder = { inputSize: 16, patchSize: 4, embedDim: 24, depth: 1, numHeads: 2, mlpRatio: 2 };
  const decoder = { decoderEmbedDim: 16, decoderDepth: 1, decoderNumHeads: 2 };
  writeFileSync(path, JSON.stringify({ ...encoder, ...decoder }));
  return path;
}

async function compareRuns(images, model) {
  const options = {
    'data-path': images,
    'val-path': images,
    model,
    'batch-size': values.batch,
    'accum-iter': 2,
    epochs: values.epochs ?? 3 * Math.max(1, kills),
    'warmup-epochs': 1,
    lr: 1e-3,
    'clip-grad': 1,
    seed,
    threads: 1,
    'save-every-steps': 4,
    'log-every': 1,
    resume: 'auto',
  };
  const start = (name, workers) => {
    const given = { ...options, 'output-dir': join(folder, name), 'num-workers': workers };
    const flags = Object.entries(given).flatMap(([flag, value]) => [`--${flag}`, String(value)]);
    const child = spawn(process.execPath, [mae, 'pretrain', ...flags], {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { ...process.env, XDG_CACHE_HOME: join(folder, 'cache') },
    });
    return new Run(child);
  };

  const undisturbed = start('undisturbed', 0);
  await undisturbed.untilSteps(1);
  const startMilliseconds = undisturbed.age;
  await undisturbed.toItsEnd();

  const checkpoints = join(folder, 'killed', 'checkpoints');
  mkdirSync(checkpoints, { recursive: true });
  let insideSaves = 0;
  for (let kill = 0; kill < kills; kill++) {
    const kind = kinds[(kill + seed) % kinds.length];
    const run = start('killed', random.int(3));
    if (kind === 'starting') await sleep(random.uniform(0, 1.2 * startMilliseconds));
    else if (kind === 'training') {
      await run.untilSteps(1 + random.int(6));
      await sleep(random.uniform(0, 10));
    } else {
      await untilSaving(checkpoints, run, 1 + random.int(3));
      await sleep(random.int(3));
    }
    await run.kill();
    const cut = readdirSync(checkpoints).some(
      (name) => /^\.tmp-step-\d+-(\d+)$/.exec(name)?.[1] === `${run.pid}`,
    );
    if (cut) insideSaves++;
    const where = cut ? ', inside a checkpoint' : '';
    console.log(
      `kill ${kill + 1} (${kind}${where}): at step ${run.step ?? 'none'}, latest ${latest(checkpoints)}`,
    );
  }
  await start('killed', 1).toItsEnd();

  const problems = differences(join(folder, 'undisturbed'), join(folder, 'killed'));
  for (const problem of problems) console.log(`different: ${problem}`);
  if (problems.length === 0) {
    console.log(`equal after ${kills} kills, ${insideSaves} of them inside a checkpoint`);
  }
  return problems.length === 0;
}

/** A process that trains, and the steps that it told of. */
class Run {
  step;
  #child;
  #closed;
  #born = performance.now();
  #steps = 0;
  #lastLines = [];
  #wake = () => {};

  constructor(child) {
    this.#child = child;
    this.#closed = once(child, 'close');
    this.#closed.then(() => this.#wake());
    createInterface({ input: child.stderr }).on('line', (line) => {
      this.#lastLines = [...this.#lastLines.slice(-4), line];
      const match = /^step (\d+)\//.exec(line);
      if (match === null) return;
      this.step = Number(match[1]);
      this.#steps++;
      this.#wake();
    });
  }

  get pid() {
    return this.#child.pid;
  }

  get age() {
    return performance.now() - this.#born;
  }

  get #ended() {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Waits until this process has taken so many steps. */
  async untilSteps(count) {
    while (this.#steps < count) {
      if (this.#ended) throw this.#failure('ended before it was killed; give it more --epochs');
      await new Promise((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async kill() {
    if (this.#ended) throw this.#failure('ended before it was killed; give it more --epochs');
    this.#child.kill('SIGKILL');
    await this.#closed;
    if (this.#child.signalCode !== 'SIGKILL') throw this.#failure('was not killed');
  }

  async toItsEnd() {
    await this.#closed;
    if (this.#child.exitCode !== 0) throw this.#failure(`ended with exit code ${this.#child.exitCode}`);
  }

  #failure(what) {
    return new Error(`the run ${what}\n${this.#lastLines.join('\n')}`);
  }
}

/** Waits until the temporary folder of the count-th checkpoint shows that this process writes. */
async function untilSaving(checkpoints, run, count) {
  const stop = new AbortController();
  const names = new Set();
  const seen = new Promise((resolve) => {
    watch(checkpoints, { signal: stop.signal }, (_, name) => {
      if (name?.startsWith('.tmp-step-') && name.endsWith(`-${run.pid}`)) names.add(name);
      if (names.size === count) resolve();
    });
  });
  // a run saves at the latest after four steps; more of them mean that the watcher sees nothing
  await Promise.race([seen, run.untilSteps(40)]);
  stop.abort();
}

function latest(checkpoints) {
  return readdirSync(checkpoints).includes('latest')
    ? readFileSync(join(checkpoints, 'latest'), 'utf8').trim()
    : 'none';
}

/** What two run directories do not have in common and should. */
function differences(wanted, got) {
  const problems = [];
  const folders = [wanted, got].map((run) => join(run, 'checkpoints'));
  const [step, other] = folders.map(latest);
  if (step !== other) return [`latest is ${other}, expected ${step}`];
  for (const file of ['model.safetensors', 'optimizer.safetensors', 'state.json']) {
    const [a, b] = folders.map((checkpoints) => readFileSync(join(checkpoints, step, file)));
    if (!a.equals(b)) problems.push(`${step}/${file}`);
  }
  const [expected, actual] = [wanted, got].map(readNumbers);
  for (const line of actual.repeated) problems.push(`log.jsonl has ${line} more than once`);
  for (const key of new Set([...expected.lines.keys(), ...actual.lines.keys()])) {
    const [a, b] = [expected.lines.get(key), actual.lines.get(key)];
    if (a !== b) problems.push(`log.jsonl, ${key}: ${b}, expected ${a}`);
  }
  if (expected.lines.size === 0) problems.push('log.jsonl has no lines');
  return problems;
}

/** The lines of log.jsonl that training makes, by type and step, without the times. */
function readNumbers(run) {
  const lines = new Map();
  const repeated = [];
  for (const text of readFileSync(join(run, 'log.jsonl'), 'utf8').trimEnd().split('\n')) {
    const { type, step, time, images_per_second, data_wait, ...numbers } = JSON.parse(text);
    if (!['train', 'epoch', 'val'].includes(type)) continue;
    const key = `${type} ${step}`;
    if (lines.has(key)) repeated.push(key);
    lines.set(key, JSON.stringify(numbers));
  }
  return { lines, repeated };
}

try {
  mkdirSync(folder, { recursive: true });
  const images = values.data ?? (await writeImages(join(folder, 'images')));
  const model = values.model ?? writeModel(join(folder, 'model.json'));
  process.exitCode = (await compareRuns(images, model)) ? 0 : 1;
} finally {
  if (values.folder === undefined) rmSync(folder, { recursive: true, force: true });
}
