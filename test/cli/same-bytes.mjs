/**
 * Runs the command lines of two versions on the same seeded nano jobs on the CPU, and asks that both write the same:
 * artefacts, checkpoints, logs, configurations, pictures, exports and what is printed; and that this version ends a
 * run that the other one began as if it had been alone.
 *
 *   node test/cli/same-bytes.mjs OTHER_CHECKOUT [--folder DIR]      (after npm run build in both checkouts)
 *
 *   OTHER_CHECKOUT   the version before: a checkout with bin/mae.js, dist and node_modules
 *   --folder DIR     where to work; stays there afterwards (a temporary folder that goes)
 *
 * Prints a line for each comparison: `same`, or `DIFFERENT` with what differs below. What may differ is listed below
 * too, and starts with `note:`. It may because a version may add to what the one before wrote:
 *
 *   manifest.json   the format version, and fields that only one side has
 *   artifacts/      files that only this version writes, and the nodes that nothing but the gradient's norm needs in
 *                   training_model.onnx (see same-bytes/training-graph.mjs)
 *   log.jsonl       grad_norm, to a relative 1e-5; times and speeds are not looked at
 *   config.json     the versions of mae, Node and ONNX Runtime
 *
 * Exit code 0 if all is the same, 1 if not. Takes about two minutes.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { compareBytes, compareFolders, compareText, filesBelow } from './same-bytes/files.mjs';
import { compareConfigs, compareLogs, compareManifests } from './same-bytes/run-files.mjs';
import { compareTrainingGraphs } from './same-bytes/training-graph.mjs';

const images = 96;
const batch = 16;
const epochs = 2;
const totalSteps = (epochs * images) / batch;
const model = { model: 'mae_vit_nano_patch8_64' };
const common = { ...model, 'batch-size': batch, epochs, 'warmup-epochs': 1, blr: 1e-2, seed: 3 };
const seeded = { ...common, threads: 1, 'num-workers': 0, 'log-every': 1 };
const whole = { ...seeded, 'data-path': 'images', 'val-path': 'images' };

/** Runs by the directory that they write. */
const runs = {
  plain: whole,
  // a micro-batch of half the size leaves the number of steps as it is
  accumulated: {
    ...seeded,
    'data-path': '../damaged-images',
    'batch-size': batch / 2,
    'accum-iter': 2,
    'clip-grad': 1,
    'save-every-steps': 4,
    'predict-ratio': 0.5,
  },
  'no-kernels': { ...seeded, 'data-path': 'images', epochs: 1, 'no-kernels': true },
  'grad-checkpointing': { ...seeded, 'data-path': 'images', epochs: 1, 'grad-checkpointing': true },
};

/** What is made from the first run: commands by the file or folder that they write. */
const products = {
  'reconstruction.png': ['reconstruct', ...flags({ checkpoint: 'plain', threads: 1, json: true })],
  'export-hf': ['export', ...flags({ checkpoint: 'plain', format: 'hf' })],
  'export-mae': ['export', ...flags({ checkpoint: 'plain', format: 'mae' })],
  'export-timm': ['export', ...flags({ checkpoint: 'plain', format: 'timm' })],
  'encoder.onnx': ['export-encoder', ...flags({ checkpoint: 'plain', threads: 1, pool: 'mean' })],
  'encoder.safetensors': [
    'export-encoder',
    ...flags({ checkpoint: 'plain', format: 'safetensors', pool: 'mean' }),
  ],
};

/** Options by name; true is a flag without a value. */
function flags(options) {
  return Object.entries(options).flatMap(([name, value]) =>
    value === true ? [`--${name}`] : [`--${name}`, String(value)],
  );
}

/** A checkout with a folder of its own, in which relative paths are those of the other side. */
class Side {
  constructor(checkout, folder) {
    this.script = join(checkout, 'bin/mae.js');
    this.folder = folder;
    if (!existsSync(this.script))
      throw new Error(`same-bytes: expected ${this.script}; give a built checkout`);
    mkdirSync(folder, { recursive: true });
  }

  path(...names) {
    return join(this.folder, ...names);
  }

  /** What a command prints, without speeds; an error if it fails. */
  async mae(...args) {
    const child = spawn(process.execPath, [this.script, ...args], {
      cwd: this.folder,
      env: { ...process.env, XDG_CACHE_HOME: this.path('cache') },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const printed = ['', ''];
    for (const [i, stream] of [child.stdout, child.stderr].entries()) {
      stream.setEncoding('utf8').on('data', (text) => {
        printed[i] += text;
      });
    }
    const [code] = await once(child, 'close');
    const text = printed.join('').replaceAll(/[\d.]+ img\/s/g, '? img/s');
    if (code !== 0) throw new Error(`${this.script} ${args.join(' ')}: exit code ${code}\n${text}`);
    return text;
  }
}

let compared = 0;
let different = 0;

function report(name, { problems = [], notes = [] }) {
  compared++;
  if (problems.length > 0) different++;
  console.log(`${problems.length > 0 ? 'DIFFERENT' : 'same'}  ${name}`);
  for (const line of problems) console.log(`    ${line}`);
  for (const line of notes) console.log(`    note: ${line}`);
}

/** Runs a command on both sides at once, and compares what they print. */
async function onBoth(sides, name, ...args) {
  const [wanted, got] = await Promise.all(sides.map((side) => side.mae(...args)));
  report(`${name}: printed`, compareText(wanted, got));
}

/** Every file below a place of both sides. */
function reportFiles(
  [other, here],
  place,
  { mayAdd = false, compare = compareBytes, places = [place, place] } = {},
) {
  const [wanted, got] = [other.path(places[0]), here.path(places[1])];
  const [names, ours] = [filesBelow(wanted), filesBelow(got)];
  if (names.length === 0) report(place, { problems: ['the other version wrote nothing'] });
  for (const name of new Set([...names, ...ours])) {
    const label = name === '' ? place : `${place}/${name}`;
    if (!ours.includes(name)) report(label, { problems: ['only the other version has it'] });
    else if (names.includes(name)) report(label, compare(join(wanted, name), join(got, name)));
    else report(label, { [mayAdd ? 'notes' : 'problems']: ['only this version has it'] });
  }
}

function reportRun(sides, run) {
  const file = (name) => sides.map((side) => side.path(run, name));
  report(`${run}/config.json`, compareConfigs(...file('config.json')));
  report(`${run}/log.jsonl`, compareLogs(...file('log.jsonl')));
  reportFiles(sides, `${run}/artifacts`, { mayAdd: true, compare: compareArtifacts });
  reportFiles(sides, `${run}/checkpoints`, { mayAdd: true });
}

function compareArtifacts(wanted, got) {
  if (wanted.endsWith('manifest.json')) return compareManifests(wanted, got);
  const bytes = compareBytes(wanted, got);
  if (bytes.problems.length === 0 || !wanted.endsWith('training_model.onnx')) return bytes;
  return compareTrainingGraphs(readFileSync(wanted), readFileSync(got));
}

/** A run that the other version began and this one ended, against one that this version did alone. */
async function reportResumed([other, here]) {
  const run = 'resumed';
  const args = ['pretrain', ...flags({ ...whole, 'output-dir': run })];
  // inside an epoch: its order and its mean loss go on too
  await other.mae(...args, '--max-steps', String(totalSteps / 2 - 1));
  cpSync(other.path(run), here.path(run), { recursive: true });
  await here.mae(...args);
  const types = ['train', 'epoch', 'val'];
  report(
    `${run}/log.jsonl`,
    compareLogs(here.path('plain/log.jsonl'), here.path(run, 'log.jsonl'), { types }),
  );
  for (const step of [totalSteps / 2, totalSteps]) {
    const checkpoint = `checkpoints/step-${step}`;
    const places = [`plain/${checkpoint}`, `${run}/${checkpoint}`];
    reportFiles([here, here], `${run}/${checkpoint}`, { places });
  }
}

async function compareVersions(sides) {
  await onBoth(sides, 'sample-data', 'sample-data', '-o', 'images', '--count', String(images), '--seed', '3');
  report('images', compareFolders(...sides.map((side) => side.path('images'))));
  // one for both sides: log.jsonl gives the whole path of an image that cannot be read
  cpSync(sides[1].path('images'), join(folder, 'damaged-images'), { recursive: true });
  writeFileSync(join(folder, 'damaged-images/damaged.jpg'), 'not a picture');
  for (const [run, options] of Object.entries(runs)) {
    await onBoth(sides, run, 'pretrain', ...flags({ ...options, 'output-dir': run }));
    reportRun(sides, run);
  }
  const pictures = filesBelow(sides[1].path('images')).slice(0, 3);
  for (const [output, [command, ...args]] of Object.entries(products)) {
    const given = command === 'reconstruct' ? pictures.map((name) => join('images', name)) : [];
    await onBoth(sides, output, command, ...given, ...args, '-o', output);
    reportFiles(sides, output);
  }
  await reportResumed(sides);
}

const { values, positionals } = parseArgs({
  options: { folder: { type: 'string' } },
  allowPositionals: true,
});
if (positionals.length !== 1) throw new Error('same-bytes: expected one checkout to compare with');
const folder = resolve(values.folder ?? mkdtempSync(join(tmpdir(), 'mae-same-bytes-')));
try {
  const here = fileURLToPath(new URL('../../', import.meta.url));
  await compareVersions([
    new Side(resolve(positionals[0]), join(folder, 'other')),
    new Side(here, join(folder, 'this')),
  ]);
  console.log(different === 0 ? `all ${compared} same` : `${different} of ${compared} different`);
  process.exitCode = different === 0 ? 0 : 1;
} finally {
  if (values.folder === undefined) rmSync(folder, { recursive: true, force: true });
}
