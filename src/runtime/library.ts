import { existsSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import koffi, { type LibraryHandle } from 'koffi';
import { messageOf, UserError } from '../util/errors.js';

/** Points to another ONNX Runtime, for example one built for CUDA. */
export const libraryVariable = 'MAE_ONNXRUNTIME_LIBRARY';

const fileNames: Partial<Record<NodeJS.Platform, string>> = {
  linux: 'libonnxruntime.so.1',
  darwin: 'libonnxruntime.1.dylib',
  win32: 'onnxruntime.dll',
};

/**
 * The ONNX Runtime library to use: the path given, the environment variable's, or the one inside the installed
 * onnxruntime-node package.
 */
export function findLibrary(path = process.env[libraryVariable]): string {
  if (path !== undefined && path !== '') {
    // a name without a slash would be looked for on the system's library path
    const absolute = resolve(path);
    const file = libraryAt(absolute);
    if (file !== undefined) return file;
    throw new UserError(
      `${libraryVariable}: expected an ONNX Runtime library, found no file at ${absolute}; give the path of ` +
        'libonnxruntime or of its folder, or unset the variable to use the one of onnxruntime-node',
    );
  }
  const packageFolder = dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json'));
  const fileName = fileNames[process.platform];
  const found = fileName && join(packageFolder, 'bin', 'napi-v6', process.platform, process.arch, fileName);
  if (found !== undefined && existsSync(found)) return found;
  throw new UserError(
    `ONNX Runtime: onnxruntime-node has no library for ${process.platform}-${process.arch} (looked for ` +
      `${found ?? 'none'}); set ${libraryVariable} to the path of an onnxruntime shared library`,
  );
}

/** The path itself, or the library in the folder that it is: `onnxruntime/capi` of a Python package, for example. */
function libraryAt(path: string): string | undefined {
  if (!existsSync(path)) return undefined;
  if (!statSync(path).isDirectory()) return path;
  const names = /^(libonnxruntime(\.1[\d.]*\.dylib|\.so\.1[\d.]*)|onnxruntime\.dll)$/;
  const name = readdirSync(path).find((each) => names.test(each));
  return name && join(path, name);
}

/** koffi unloads a library when its handle is collected, also while its functions are in use: none ever is. */
const loaded = new Map<string, LibraryHandle>();

/** Loads the library. Runs of large graphs need more stack than koffi's default for its threads. */
export function loadLibrary(path: string): LibraryHandle {
  prepareEnvironment();
  configureStacks();
  try {
    return keepLibrary(path);
  } catch (error) {
    throw new UserError(
      `ONNX Runtime: cannot load ${path} (${messageOf(error)}); mae doctor says what was found`,
    );
  }
}

/** Loads a library for good, by its path or by a name that the system's loader knows. */
export function keepLibrary(path: string): LibraryHandle {
  configureStacks();
  const library = loaded.get(path) ?? koffi.load(path);
  loaded.set(path, library);
  return library;
}

/** The system loader's own words for why a library did not load, with the library that they are about. */
export function loaderMessage(path: string, error: unknown): string {
  const message = messageOf(error).replace(/^Failed to load shared library: /, '');
  return /^\S+\.(so|dll|dylib)[\d.]*: /.test(message) ? message : `${path}: ${message}`;
}

/** Sets the variables that ONNX Runtime, and what it loads in turn, look for in this process's environment. */
export function prepareEnvironment(): void {
  // From 1.30 on it keeps a database of its use, sends it, and leaves a log in the folder of temporary files. It asks
  // for this variable when an environment is made.
  process.env['ORT_DISABLE_TELEMETRY'] ??= '1';
  // Dawn, under WebGPU, asks Wayland for a display as well as Vulkan for an adapter: without a desktop session, which
  // would have set this variable, Wayland's library complains on stderr.
  if (process.platform === 'linux') process.env['XDG_RUNTIME_DIR'] ||= tmpdir();
}

let stacksConfigured = false;

/** koffi takes these before its first call only. */
export function configureStacks(): void {
  if (stacksConfigured) return;
  stacksConfigured = true;
  const stack = 8 * 2 ** 20;
  try {
    koffi.config({ ...koffi.config(), sync_stack_size: stack, async_stack_size: stack });
  } catch {
    // Another part of the process called koffi first; the CPU provider also runs on koffi's default stacks.
  }
}
