/** The rows of our operators, which graphs are lowered and written by, against those of the library that runs them. */
import { describe, expect, test } from 'vitest';
import { kernelOps, type OwnOp, ownOps } from '../../src/compiler/graph/own-ops.js';
import { findKernels } from '../../src/runtime/kernels.js';
import { loadLibrary } from '../../src/runtime/library.js';

const kernels = findKernels();
const skipped = 'reason' in kernels;
if (skipped) console.warn(`the operators' rows are not compared: ${kernels.reason}`);

interface LibraryRow {
  readonly inputs: number;
  readonly neededOutputs: number;
  readonly outputs: number;
  /** A bit for each position that may be bfloat16. */
  readonly takes: number;
  readonly gives: number;
}

function libraryRows(path: string): Map<string, LibraryRow> {
  const text = loadLibrary(path).func('mae_kernels_operators', 'str', [])() as string;
  return new Map(
    text
      .trimEnd()
      .split('\n')
      .map((line) => {
        const [name, ...counts] = line.split(' ');
        const [, inputs, neededOutputs, outputs, takes, gives] = counts.map(Number) as number[];
        return [name!, { inputs, neededOutputs, outputs, takes, gives } as LibraryRow];
      }),
  );
}

const maskOf = (positions: readonly number[]): number =>
  positions.reduce((mask, position) => mask | (1 << position), 0);

describe.skipIf(skipped)('rows of the library', () => {
  const rows = 'path' in kernels ? libraryRows(kernels.path) : new Map<string, LibraryRow>();

  test('are of the operators that are said to have a kernel', () => {
    expect([...rows.keys()].sort()).toEqual([...kernelOps].sort());
  });

  test.each([...kernelOps])('%s: needed outputs and places of bfloat16', (op: OwnOp) => {
    const { outputs, takes, gives } = ownOps[op];
    const row = rows.get(op)!;
    expect({ neededOutputs: outputs, takes: maskOf(takes), gives: maskOf(gives) }).toEqual({
      neededOutputs: row.neededOutputs,
      takes: row.takes,
      gives: row.gives,
    });
    expect(maskOf(takes)).toBeLessThan(2 ** row.inputs);
    expect(maskOf(gives)).toBeLessThan(2 ** row.outputs);
  });
});
