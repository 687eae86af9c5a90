/** Who may import whom. Reads the import lines of src; a folder without a row here fails. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const below = {
  util: [],
  graph: ['util'],
  autodiff: ['graph', 'util'],
  lowering: ['graph', 'util'],
  onnx: ['graph', 'util'],
  nn: ['graph', 'util'],
  optim: ['graph', 'util'],
  model: ['nn', 'graph', 'util'],
  artifact: ['util', 'graph', 'autodiff', 'lowering', 'onnx', 'nn', 'model', 'optim'],
  runtime: ['util'],
  checkpoint: ['util'],
  data: ['util'],
  // AssemblyScript, which knows nothing of the rest
  wasm: [],
  // of artifact only the manifest: training knows graphs by their files
  train: ['runtime', 'data', 'checkpoint', 'optim', 'model', 'util', 'artifact/manifest'],
  bench: ['artifact', 'data', 'graph', 'lowering', 'model', 'onnx', 'runtime', 'train', 'util'],
  cli: [
    'bench',
    'util',
    'graph',
    'autodiff',
    'lowering',
    'onnx',
    'nn',
    'optim',
    'model',
    'artifact',
    'runtime',
    'checkpoint',
    'data',
    'train',
  ],
} as const satisfies Record<string, readonly string[]>;

/** Packages that only some files may import: folders, or files without their ending. */
const packageUsers: Record<string, readonly string[]> = {
  koffi: ['runtime', 'data/decode/turbojpeg', 'data/native-resampler'],
  'onnx-proto': ['onnx'],
  flatbuffers: ['artifact/onnxruntime-training'],
  yargs: ['cli'],
  sharp: ['data'],
  yauzl: ['checkpoint/pth'],
};

const root = fileURLToPath(new URL('../', import.meta.url));

/** Paths below the root with forward slashes. */
function filesOf(folder: string, ending: RegExp): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name) && !entry.parentPath.includes('.venv'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

interface Import {
  /** Both without `src/` and ending; `to` is the package's name where it is one. */
  readonly from: string;
  readonly to: string;
  readonly kind: 'file' | 'package' | 'node';
}

/** What the import and export lines of a source text name. */
function specifiers(text: string): string[] {
  const patterns = [
    /^(?:import|export)\b[^;'"]*?\bfrom\s*['"]([^'"]+)['"]/gm,
    /^import\s*['"]([^'"]+)['"]/gm,
    /\bimport\(\s*['"]([^'"]+)['"]/g,
  ];
  return patterns.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1]!));
}

function importsOf(file: string): Import[] {
  const from = file.replace(/^src\//, '').replace(/\.ts$/, '');
  return specifiers(readFileSync(join(root, file), 'utf8')).map((specifier): Import => {
    if (specifier.startsWith('.')) {
      const to = posix.join(dirname(from), specifier).replace(/\.js$/, '');
      return { from, to, kind: 'file' };
    }
    if (specifier.startsWith('node:')) return { from, to: specifier, kind: 'node' };
    const parts = specifier.split('/');
    return { from, to: parts.slice(0, specifier.startsWith('@') ? 2 : 1).join('/'), kind: 'package' };
  });
}

const sources = filesOf('src', /\.ts$/);
const imports = sources.flatMap(importsOf);
const folderOf = (path: string): string => path.split('/')[0]!;
const isIn = (path: string, places: readonly string[]): boolean =>
  places.some((place) => path === place || path.startsWith(`${place}/`));

test('import lines are read', () => {
  const text = `
import { a,
  b } from './a.js';
import type { C } from "../c/c.js";
import './effect.js';
export { d } from 'd/part';
// import nothing from './comment.js'
export const name = 'from';
const e = await import('@scope/e/f');
`;
  expect(specifiers(text)).toEqual(['./a.js', '../c/c.js', 'd/part', './effect.js', '@scope/e/f']);
  expect(imports.length).toBeGreaterThan(2 * sources.length);
});

describe('layers', () => {
  test('every folder of src has a row', () => {
    expect(Object.keys(below).sort()).toEqual(
      [...new Set(sources.map((file) => folderOf(file.slice(4))))].sort(),
    );
  });

  test.each(Object.entries(below))('%s imports only from %j', (folder, allowed) => {
    const wrong = imports
      .filter(({ from, to, kind }) => kind === 'file' && folderOf(from) === folder && folderOf(to) !== folder)
      .filter(({ to }) => !isIn(to, allowed))
      .map(({ from, to }) => `${from} → ${to}`);
    expect(wrong).toEqual([]);
  });

  test('util needs Node only', () => {
    expect(imports.filter(({ from, kind }) => folderOf(from) === 'util' && kind === 'package')).toEqual([]);
  });

  test('artifact and runtime know nothing of each other', () => {
    const reached = (start: string): Set<string> => {
      const found = new Set<string>();
      const pending = sources.map((file) => file.slice(4, -3)).filter((file) => folderOf(file) === start);
      while (pending.length > 0) {
        const file = pending.pop()!;
        if (found.has(file)) continue;
        found.add(file);
        pending.push(
          ...imports.filter(({ from, kind }) => from === file && kind === 'file').map(({ to }) => to),
        );
      }
      return new Set([...found].map(folderOf));
    };
    expect(reached('artifact')).not.toContain('runtime');
    expect([...reached('runtime')].sort()).toEqual(['runtime', 'util']);
  });

  test('no folders import each other in a circle', () => {
    const edges = new Map<string, Set<string>>();
    for (const { from, to, kind } of imports) {
      if (kind !== 'file' || folderOf(from) === folderOf(to)) continue;
      edges.set(folderOf(from), (edges.get(folderOf(from)) ?? new Set()).add(folderOf(to)));
    }
    // folders that import none of the rest are done; what never gets done is a circle
    const left = new Set(edges.keys());
    for (let before = -1; before !== left.size; ) {
      before = left.size;
      for (const folder of left) if (![...edges.get(folder)!].some((to) => left.has(to))) left.delete(folder);
    }
    expect([...left]).toEqual([]);
  });

  test('imported files exist', () => {
    const files = new Set(sources.map((file) => file.slice(4, -3)));
    const missing = imports.filter(({ to, kind }) => kind === 'file' && !files.has(to));
    expect(missing).toEqual([]);
  });
});

describe('packages', () => {
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
  };

  test('what src imports is a dependency', () => {
    const used = new Set(imports.filter(({ kind }) => kind === 'package').map(({ to }) => to));
    expect([...used].filter((name) => !(name in dependencies))).toEqual([]);
  });

  test.each(Object.entries(packageUsers))('%s is imported only by %j', (name, users) => {
    const importers = imports
      .filter(({ to, kind }) => kind === 'package' && to === name)
      .map(({ from }) => from);
    expect(importers.filter((from) => !isIn(from, users))).toEqual([]);
    expect(importers).not.toEqual([]);
  });
});

test('no file of src or test is longer than 500 lines', () => {
  const files = [...sources, ...filesOf('test', /\.(ts|py)$/)];
  const lengths = files.map(
    (file) => [file, readFileSync(join(root, file), 'utf8').split('\n').length - 1] as const,
  );
  expect(lengths.filter(([, lines]) => lines > 500)).toEqual([]);
});
