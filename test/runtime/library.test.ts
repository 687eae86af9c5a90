import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { identityModel } from '../../src/runtime/identity-model.js';
import { findLibrary, libraryVariable, loadLibrary } from '../../src/runtime/library.js';
import { Runtime } from '../../src/runtime/runtime.js';
import { UserError } from '../../src/util/errors.js';

let folder: string;
const before = process.env[libraryVariable];
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'mae-library-'));
});
afterEach(() => {
  if (before === undefined) delete process.env[libraryVariable];
  else process.env[libraryVariable] = before;
});
afterAll(() => rmSync(folder, { recursive: true }));

function errorOf(run: () => unknown): Error {
  try {
    run();
  } catch (error) {
    return error as Error;
  }
  throw new Error('errorOf: expected an error');
}

test('the library of onnxruntime-node is found', () => {
  delete process.env[libraryVariable];
  expect(findLibrary()).toMatch(/onnxruntime-node.bin.napi-v6.*onnxruntime/);
});

test('the environment variable points to another', () => {
  delete process.env[libraryVariable];
  const link = join(folder, 'other-onnxruntime');
  symlinkSync(findLibrary(), link);
  process.env[libraryVariable] = link;
  const runtime = new Runtime();
  expect(runtime.api.libraryPath).toBe(link);
  const session = runtime.createSession(identityModel());
  expect(session.inputNames).toEqual(['x']);
  session.release();
  runtime.release();
});

test.runIf(process.platform === 'linux')('the variable may name the folder of a library', () => {
  const capi = join(folder, 'capi');
  mkdirSync(capi);
  // the name that Python's package gives it
  symlinkSync(findLibrary(''), join(capi, 'libonnxruntime.so.1.30.0'));
  writeFileSync(join(capi, 'libonnxruntime_providers_shared.so'), '');
  expect(findLibrary(capi)).toBe(join(capi, 'libonnxruntime.so.1.30.0'));
  const error = errorOf(() => findLibrary(folder));
  expect(error).toBeInstanceOf(UserError);
  expect(error.message).toContain('give the path of libonnxruntime or of its folder');
});

test('an empty variable is as good as none', () => {
  process.env[libraryVariable] = '';
  expect(findLibrary()).toMatch(/onnxruntime-node/);
});

test('a variable that points nowhere is the user’s error', () => {
  const path = join(folder, 'none.so');
  process.env[libraryVariable] = path;
  const error = errorOf(() => new Runtime());
  expect(error).toBeInstanceOf(UserError);
  expect(error.message).toContain(
    `MAE_ONNXRUNTIME_LIBRARY: expected an ONNX Runtime library, found no file at ${path}`,
  );
});

describe('the environment of a library', () => {
  afterEach(() => vi.unstubAllEnvs());
  const load = () => {
    loadLibrary(findLibrary(''));
    return [process.env['ORT_DISABLE_TELEMETRY'], process.env['XDG_RUNTIME_DIR']];
  };

  test.runIf(process.platform === 'linux')('no telemetry, and a folder for Wayland’s library', () => {
    vi.stubEnv('ORT_DISABLE_TELEMETRY', undefined);
    for (const none of [undefined, '']) {
      vi.stubEnv('XDG_RUNTIME_DIR', none);
      expect(load()).toEqual(['1', tmpdir()]);
    }
  });

  test('what is set stays', () => {
    vi.stubEnv('ORT_DISABLE_TELEMETRY', '0');
    vi.stubEnv('XDG_RUNTIME_DIR', folder);
    expect(load()).toEqual(['0', folder]);
  });
});

test('a path without a file, and a file that is no library', () => {
  const text = join(folder, 'text.so');
  writeFileSync(text, 'text');
  for (const libraryPath of [join(folder, 'none.so'), text]) {
    const error = errorOf(() => new Runtime({ libraryPath }));
    expect(error).toBeInstanceOf(UserError);
    expect(error.message).toContain(`ONNX Runtime: cannot load ${libraryPath}`);
  }
});

test.runIf(process.platform === 'linux')('a library that is another', () => {
  const error = errorOf(() => new Runtime({ libraryPath: 'libm.so.6' }));
  expect(error).toBeInstanceOf(UserError);
  expect(error.message).toContain('libm.so.6');
});
