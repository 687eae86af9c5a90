import { readFileSync } from 'node:fs';
import { compiledFile } from './compiled.js';

// TypeScript declares it with the DOM alone
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer; grow(pages: number): void };
  fillUniform(end: number, low: number, range: number, ...counterAndKey: number[]): void;
}

/** Numbers that one call makes at most: a page of WebAssembly's memory, which stays in the processor's cache. */
export const philoxBatch = 65536 / 4;

export interface PhiloxModule {
  /** float32 [philoxBatch] */
  readonly numbers: Float32Array;
  /**
   * Fills the first `count` numbers, a multiple of 16, with uniform ones of [low, low + range), from the words of the
   * blocks of counters (c0, c1, c2, c3), (c0 + 1, c1, c2, c3), …
   */
  fillUniform(
    count: number,
    low: number,
    range: number,
    counter: readonly [c0: number, c1: number, c2: number, c3: number],
    key: readonly [k0: number, k1: number],
  ): void;
}

/** src/util/wasm/philox.ts, compiled; undefined where the processor lacks WebAssembly's vectors. */
export function loadPhilox(): PhiloxModule | undefined {
  const bytes = readFileSync(compiledFile('util/wasm/philox.wasm'));
  let exports: Exports;
  try {
    exports = new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports as Exports;
  } catch {
    return undefined;
  }
  exports.memory.grow(1);
  return {
    numbers: new Float32Array(exports.memory.buffer, 0, philoxBatch),
    fillUniform: (count, low, range, counter, key) =>
      exports.fillUniform(4 * count, low, range, ...counter, ...key),
  };
}
