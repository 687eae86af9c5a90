// Compiles src/kernels to dist/kernels/libmae_kernels.so with the C++ compiler of this machine; rebuilds only what
// has changed. It runs before node_modules exists, so it uses Node alone.
//
//   node bin/build-kernels.js                       the library
//   node bin/build-kernels.js --test [name...]      also builds and runs test/kernels/<name>_test.cc
//   node bin/build-kernels.js --bench [name...]     also builds and runs test/kernels/<name>_bench.cc
//   --sanitize                                      with the address and undefined-behaviour sanitizers
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const sources = 'src/kernels';
const tests = 'test/kernels';

const options = process.argv.slice(2).filter((argument) => argument.startsWith('--'));
const names = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
const sanitize = options.includes('--sanitize');
const output = sanitize ? 'dist/kernels/sanitize' : 'dist/kernels';

// Functions and loops begin a cache line each: else any change of another file moves the inner loops of gemm.cc across
// lines, and a step takes up to a tenth longer (ViT-S, batch 8, AVX2, three builds in turns: 0.756 s where they happened to
// lie well, 0.817 s with functions alone aligned, 0.781 s with both).
const flags = [
  '-std=c++17',
  '-O3',
  '-ffp-contract=fast',
  '-fPIC',
  '-fvisibility=hidden',
  '-pthread',
  '-falign-functions=64',
  '-falign-loops=64',
]
  .concat(['-Wall', '-Wextra', `-I${sources}`])
  .concat(sanitize ? ['-g', '-fsanitize=address,undefined', '-fno-sanitize-recover'] : []);

// The flags of each level of src/kernels/dispatch.h, in its order.
const avx2 = ['-mavx2', '-mfma', '-mf16c'];
const avx512 = [
  ...avx2,
  '-mavx512f',
  '-mavx512bw',
  '-mavx512vl',
  '-mavx512dq',
  '-mprefer-vector-width=512',
].concat(
  // GCC's own intrinsics set them off (bug 105593).
  ['-Wno-uninitialized', '-Wno-maybe-uninitialized'],
);
// The processors that have one have the other: the level asks for both.
const avx512Bf16 = [...avx512, '-mavx512bf16', '-mavx512vnni'];
const levels = {
  plain: [],
  avx2,
  avx512,
  avx512_bf16: avx512Bf16,
  amx: [...avx512Bf16, '-mamx-tile', '-mamx-bf16'],
};

/** gemm and attention form products, which have instructions of their own above avx512; resample has bytes' ones. */
function levelsOf(family) {
  if (/^(gemm|attention)/.test(family)) return Object.keys(levels);
  return ['plain', 'avx2', 'avx512', ...(family === 'resample' ? ['avx512_bf16'] : [])];
}

function fail(message) {
  console.error(`kernels: ${message}`);
  process.exit(1);
}

function findCompiler() {
  const candidates = process.env.CXX ? [process.env.CXX] : ['c++', 'g++', 'clang++'];
  return candidates.find((command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0);
}

function execute(command, args, stdio) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio });
    let text = '';
    child.stdout?.on('data', (chunk) => (text += chunk));
    child.stderr?.on('data', (chunk) => (text += chunk));
    child.on('error', (error) => resolve({ status: 1, text: error.message }));
    child.on('close', (status) => resolve({ status, text }));
  });
}

/** Levels that the compiler knows, in order; without one there is none above it. */
async function knownLevels(compiler) {
  if (process.arch !== 'x64') return ['plain'];
  const answers = await Promise.all(
    Object.values(levels).map((extra) =>
      execute(compiler, [...extra, '-x', 'c++', '-fsyntax-only', '/dev/null'], 'pipe'),
    ),
  );
  const known = Object.keys(levels).filter((_, i) =>
    answers.slice(0, i + 1).every(({ status }) => status === 0),
  );
  const unknown = Object.keys(levels).slice(known.length);
  if (unknown.length > 0) console.log(`kernels: ${compiler} is too old for ${unknown.join(', ')}: left out`);
  return known;
}

/** A command is up to date when it is the one that made `target`, and no file that it read is newer. */
function upToDate(target, command, inputs) {
  const stamp = join(root, `${target}.command`);
  if (!existsSync(join(root, target)) || !existsSync(stamp)) return false;
  if (readFileSync(stamp, 'utf8') !== command.join(' ')) return false;
  const made = statSync(join(root, target)).mtimeMs;
  return inputs.every((path) => existsSync(join(root, path)) && statSync(join(root, path)).mtimeMs <= made);
}

/** What the compiler wrote down (-MMD) that it read for `target`. */
function headersOf(target) {
  const path = join(root, `${target}.d`);
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8').replace(/\\\n/g, ' ').split(/\s+/).slice(1).filter(Boolean);
}

/** Runs the steps that are not up to date, as many at a time as there are cores; the first failure ends the build. */
async function make(steps) {
  const due = steps.filter(({ target, command, inputs }) => !upToDate(target, command, inputs));
  const next = due.values();
  const worker = async () => {
    for (const { target, command } of next) {
      mkdirSync(dirname(join(root, target)), { recursive: true });
      const { status, text } = await execute(command[0], command.slice(1), 'pipe');
      if (text) process.stderr.write(text);
      if (status !== 0) fail(`${target}: the compiler failed: ${command.join(' ')}`);
      writeFileSync(join(root, `${target}.command`), command.join(' '));
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return due.length;
}

function compileStep(compiler, source, target, extra) {
  const command = [compiler, ...flags, ...extra, '-MMD', '-MF', `${target}.d`, '-c', source, '-o', target];
  return { target, command, inputs: [source, ...headersOf(target)] };
}

function linkStep(compiler, inputs, target, extra) {
  return { target, command: [compiler, ...flags, ...extra, ...inputs, '-o', target], inputs };
}

const filesEnding = (folder, ending) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith(ending))
    .sort();

/** One step an object: each family once for each level, the other files once. */
function objectSteps(compiler, known) {
  return filesEnding(sources, '.cc').flatMap((file) => {
    const source = `${sources}/${file}`;
    const family = basename(file, '.cc');
    if (!readFileSync(join(root, source), 'utf8').includes('#include "dispatch.h"'))
      return [compileStep(compiler, source, `${output}/obj/${family}.o`, [])];
    const own = levelsOf(family).filter((level) => known.includes(level));
    const has = own.map((level) => `-DMAE_HAS_${level}`);
    return own.map((level) =>
      compileStep(compiler, source, `${output}/obj/${family}.${level}.o`, [
        `-DMAE_ISA=${level}`,
        ...has,
        ...levels[level],
      ]),
    );
  });
}

/** Builds and runs test/kernels/*<ending>, all of them or those that were named. */
async function runPrograms(compiler, objects, ending) {
  const files = filesEnding(tests, ending).filter(
    (file) => names.length === 0 || names.includes(file.slice(0, -ending.length)),
  );
  if (files.length === 0) fail(`no ${tests}/*${ending} named ${names.join(', ')}`);
  const programs = files.map((file) => `${output}/test/${basename(file, '.cc')}`);
  await make(files.map((file, i) => compileStep(compiler, `${tests}/${file}`, `${programs[i]}.o`, [])));
  await make(programs.map((program) => linkStep(compiler, [`${program}.o`, ...objects], program, [])));
  for (const program of programs) {
    const { status } = await execute(join(root, program), [], 'inherit');
    if (status !== 0) fail(`${program} failed`);
  }
}

const compiler = findCompiler();
if (!compiler) {
  console.log(
    'kernels: no C++ compiler (c++, g++ or clang++; or set CXX): training runs without them, slower',
  );
  process.exit(0);
}
const objects = objectSteps(compiler, await knownLevels(compiler));
const targets = objects.map(({ target }) => target);
const library = `${output}/libmae_kernels.so`;
const compiled = await make(objects);
// a library that runs on other machines brings the C++ runtime along
const portable = sanitize ? [] : ['-static-libstdc++', '-static-libgcc'];
await make([linkStep(compiler, targets, library, ['-shared', ...portable])]);
console.log(`kernels: ${library} (${compiled} of ${targets.length} objects compiled)`);
if (options.includes('--test')) await runPrograms(compiler, targets, '_test.cc');
if (options.includes('--bench')) await runPrograms(compiler, targets, '_bench.cc');
