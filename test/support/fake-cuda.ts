/** NVIDIA's libraries for tests on machines without a card: missing, or stood in for by `fake-cuda/fake-cuda.c`. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { neededLibraries } from '../../src/runtime/cuda/elf.js';
import { findLibrary } from '../../src/runtime/library.js';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const source = here('fake-cuda/fake-cuda.c');

/** Points to the site-packages of a Python that has onnxruntime-gpu, or to a folder that pip unpacked it into. */
export const gpuWheelVariable = 'MAE_TEST_ONNXRUNTIME_GPU';

/** The onnxruntime/capi folder of the real thing, or why it is not there. */
export function onnxRuntimeGpu(): { readonly capi: string } | { readonly reason: string } {
  const given = process.env[gpuWheelVariable];
  const capi = join(resolve(given ?? here('../../.cache/onnxruntime-gpu')), 'onnxruntime', 'capi');
  if (existsSync(join(capi, 'libonnxruntime_providers_cuda.so'))) return { capi };
  return {
    reason:
      `no CUDA provider at ${capi}: pip install --no-deps --target .cache/onnxruntime-gpu onnxruntime-gpu==1.30.0, ` +
      `or set ${gpuWheelVariable}`,
  };
}

/** Why there is no fake card here, if so. */
export function noCompiler(): string | undefined {
  if (process.platform !== 'linux') return `fake libraries are for Linux, this is ${process.platform}`;
  const missing = ['cc', 'nm'].filter((command) => spawnSync(command, ['--version']).status !== 0);
  return missing.length === 0 ? undefined : `no ${missing.join(' and ')} on the PATH`;
}

function compile(out: string, sources: readonly string[], flags: readonly string[] = []): void {
  execFileSync('cc', ['-w', '-shared', '-fPIC', '-o', out, ...sources, ...flags], { stdio: 'pipe' });
}

/**
 * A folder for LD_LIBRARY_PATH with a fake driver and, for a provider's library, fakes of all that it needs: every
 * function that it asks for is there.
 */
export function buildFakeCuda(folder: string, provider?: string): string {
  mkdirSync(folder, { recursive: true });
  const core = join(folder, 'libfakecuda.so');
  const own = new Set(readFileSync(source, 'utf8').match(/\b(__)?cu[A-Za-z0-9_]+(?=\()/g));
  const asked = provider === undefined ? [] : undefinedNames(provider).filter((name) => !own.has(name));
  writeFileSync(join(folder, 'rest.c'), asked.map((name) => `int ${name}(void) { return 0; }\n`).join(''));
  compile(core, [source, join(folder, 'rest.c')]);
  const names =
    provider === undefined ? [] : neededLibraries(provider).filter((name) => /^lib(cu|nv)/.test(name));
  for (const name of new Set(['libcuda.so.1', ...names])) {
    const versions = join(folder, 'versions.map');
    writeFileSync(versions, `${name} { };\n`); // the provider asks for function@libcublas.so.13 and so on
    const linking = ['-Wl,--no-as-needed', '-L', folder, '-lfakecuda', '-Wl,-rpath,$ORIGIN'];
    const flags = [`-Wl,-soname,${name}`, `-Wl,--version-script=${versions}`, ...linking];
    compile(join(folder, name), ['-x', 'c', '/dev/null'], flags);
  }
  if (provider !== undefined) buildFakeCudnn(folder, provider);
  return folder;
}

function undefinedNames(library: string): string[] {
  const listed = execFileSync('nm', ['-D', '--undefined-only', library], {
    encoding: 'utf8',
    maxBuffer: 2 ** 26,
  });
  return [...listed.matchAll(/ U (_*cu[a-zA-Z]\w*|curand\w+)/g)].map((match) => match[1]!);
}

/** cuDNN is looked up by name at run time: its functions are those that the provider has the names of. */
function buildFakeCudnn(folder: string, provider: string): void {
  const text = readFileSync(provider).toString('latin1');
  const names = new Set([...text.matchAll(/\0(cudnn[A-Z]\w+)(?=\0)/g)].map((match) => match[1]!));
  const special = `
    #include <stddef.h>
    size_t cudnnGetVersion(void) { return 91000; }
    const char *cudnnGetErrorString(int status) { return "fake"; }
    int cudnnCreate(void **out) { static char handle[64]; return *out = handle, 0; }\n`;
  const rest = [...names].filter((name) => !special.includes(`${name}(`));
  const file = join(folder, 'cudnn.c');
  writeFileSync(file, special + rest.map((name) => `int ${name}(void) { return 0; }\n`).join(''));
  compile(join(folder, 'libcudnn.so.9'), [file], ['-Wl,-soname,libcudnn.so.9']);
}

/** A folder with onnxruntime-node's library and a provider beside it that needs libraries of these names. */
export function fakeProvider(folder: string, needed: readonly string[]): string {
  mkdirSync(folder, { recursive: true });
  const library = join(folder, 'libonnxruntime.so.1');
  symlinkSync(findLibrary(''), library);
  for (const name of needed) compile(join(folder, name), ['-x', 'c', '/dev/null'], [`-Wl,-soname,${name}`]);
  const linking = needed.map((name) => join(folder, name));
  compile(join(folder, 'libonnxruntime_providers_shared.so'), ['-x', 'c', '/dev/null']);
  compile(
    join(folder, 'libonnxruntime_providers_cuda.so'),
    ['-x', 'c', '/dev/null', '-x', 'none'],
    ['-Wl,--no-as-needed', ...linking],
  );
  for (const path of linking) rmSync(path);
  return library;
}

/** What `cuda-session.mjs` prints: a few steps of a model on `cuda:N`, as the compiled code runs them. */
export interface CudaSession {
  readonly losses?: readonly number[];
  readonly peakBytes?: readonly number[];
  readonly copies?: readonly number[];
  readonly activationBytes?: number;
  readonly options?: string;
  readonly batchSize?: number;
  readonly sessions?: readonly string[];
  readonly error?: { readonly name: string; readonly message: string };
}

/** Runs `cuda-session.mjs` in a process of its own: the loader reads LD_LIBRARY_PATH when a process starts. */
export function cudaSession(
  capi: string,
  libraries: string,
  ask: Readonly<Record<string, unknown>> = {},
  env: Readonly<Record<string, string>> = {},
): CudaSession {
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    [here('cuda-session.mjs'), JSON.stringify(ask)],
    {
      cwd: dirname(here('.')),
      // glibc fills what is freed: whatever is used after its release ends the process
      env: {
        ...process.env,
        MALLOC_PERTURB_: '165',
        MAE_ONNXRUNTIME_LIBRARY: capi,
        LD_LIBRARY_PATH: libraries,
        ...env,
      },
      encoding: 'utf8',
    },
  );
  const line = stdout.trim().split('\n').at(-1);
  if (status !== 0 || !line)
    throw new Error(`cuda-session: ended with ${signal ?? status}\n${stdout}\n${stderr}`);
  return JSON.parse(line) as CudaSession;
}
