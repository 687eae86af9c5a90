import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

interface Measure {
  mean: number;
  deviation: number;
  quantiles: number[];
}

/** goldens/index.json, which make_goldens.py writes. */
export interface Goldens {
  resize: {
    source: string;
    sourceHeight: number;
    sourceWidth: number;
    box: [left: number, top: number, right: number, bottom: number];
    height: number;
    width: number;
  }[];
  pipeline: Box[];
  quantiles: number[];
  draws: number;
  crops: ({ width: number; height: number } & Record<'area' | 'aspect' | 'left' | 'top', Measure>)[];
  files: Record<string, { width: number; height: number }>;
}

export const goldenPath = (name: string) => fileURLToPath(new URL(`goldens/${name}`, import.meta.url));
export const golden = (name: string) => readFileSync(goldenPath(name));
export const goldens: Goldens = JSON.parse(golden('index.json').toString());

/** A folder that goes when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mae-data-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** How far two pictures are apart, in levels of 255. */
export function difference(got: Uint8Array, wanted: Uint8Array) {
  if (got.length !== wanted.length) throw new Error(`expected ${wanted.length} bytes, got ${got.length}`);
  let sum = 0;
  let most = 0;
  let within1 = 0;
  for (let i = 0; i < got.length; i++) {
    const apart = Math.abs(got[i]! - wanted[i]!);
    sum += apart;
    most = Math.max(most, apart);
    if (apart <= 1) within1++;
  }
  return { mean: sum / got.length, most, within1: within1 / got.length };
}
