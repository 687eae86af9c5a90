import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readPngHeader } from '../../data/decode/png.js';
import type { Sheets } from '../../page/report-data.js';
import { runPaths } from '../../weights/checkpoint/run-directory.js';
import { readJson } from '../check-output.js';

/** The first four bytes. */
const pngSignature = 0x89504e47;
const sheetName = /^epoch-(\d{4,})\.png$/;

/** The sheets of a run, spread over it and no more of them than bytes allow; null where it has none. */
export function sheetsOf(run: string, mostBytes: number): Sheets | null {
  const { pictures: folder } = runPaths(run);
  const found = sheetFiles(folder);
  const bytes = found.reduce((sum, each) => sum + each.bytes, 0);
  const most =
    bytes <= mostBytes ? found.length : Math.max(2, Math.floor((found.length * mostBytes) / bytes));
  const sheets = spread(found, most).flatMap(({ path, epochs }) => {
    try {
      const png = readFileSync(path);
      if (png.readUInt32BE(0) !== pngSignature) return [];
      const { width, height } = readPngHeader(png);
      return [{ epochs, src: pngUrl(png), width, height }];
    } catch {
      return []; // torn, or gone since
    }
  });
  if (sheets.length === 0) return null;
  const { rows, images } = readJson(join(folder, 'pictures.json'));
  const names = listOf(images).map((image) => `${(image as { name?: unknown } | null)?.name ?? ''}`);
  return { sheets, rows: listOf(rows).map(String), columns: names, total: found.length };
}

export function pngUrl(png: Uint8Array): string {
  return `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
}

/** In the order of their epochs. */
function sheetFiles(folder: string): { path: string; epochs: number; bytes: number }[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  return names
    .flatMap((name) => {
      const epochs = sheetName.exec(name)?.[1];
      const path = join(folder, name);
      const stats = statSync(path, { throwIfNoEntry: false });
      return epochs === undefined || !stats?.isFile()
        ? []
        : [{ path, epochs: Number(epochs), bytes: stats.size }];
    })
    .sort((a, b) => a.epochs - b.epochs);
}

/** At most `count` of a list, the first and the last among them. */
function spread<T>(list: readonly T[], count: number): T[] {
  if (list.length <= count) return [...list];
  return Array.from({ length: count }, (_, i) => list[Math.round((i * (list.length - 1)) / (count - 1))]!);
}

function listOf(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
