/** Who may import whom. Reads the import lines of src; a folder of src that is no room here fails. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

/** A room imports from itself and from rooms further right. */
const rooms = [
  'cli',
  'bench',
  'jobs',
  'train',
  'probes',
  'weights',
  'data',
  'artifact',
  'model',
  'runtime',
  'compiler',
  'util',
  // the report's page, which runs in browsers
  'page',
] as const;
/** C++, which imports nothing. */
const foreignRooms = ['kernels'];

/** Folders inside a room, and what of their own room they may import beside themselves. */
const innerRooms: Readonly<Record<string, readonly string[]>> = {
  'train/engine': [],
  'weights/checkpoint': [],
  'data/decode': [],
  'data/sources': [],
  'data/pictures': [],
  // AssemblyScript, which knows nothing of the rest
  'data/wasm': [],
  'util/wasm': [],
  'model/optim': [],
  'compiler/graph': [],
  'compiler/autodiff': ['compiler/graph'],
  'compiler/lowering': ['compiler/graph', 'compiler/training-names'],
  'compiler/onnx': ['compiler/graph'],
};

/** Packages, and which folders, or files without their ending, import them: types too. */
const packageUsers: Readonly<Record<string, readonly string[]>> = {
  '@julusian/jpeg-turbo': ['data/decode/turbojpeg'],
  'csv-parse': ['data/sources/labels', 'jobs/report/evaluations'],
  flatbuffers: ['artifact/onnxruntime-training'],
  'hyparquet-writer': ['jobs/feature-files/parquet'],
  'jpeg-js': ['data/decode/jpeg-js', 'data/pictures/picture-file', 'data/pictures/sample-images'],
  koffi: ['runtime', 'data/decode/turbojpeg', 'data/native-resampler'],
  'ml-matrix': ['jobs/baselines/patch-filters'],
  'onnx-proto': ['compiler/onnx'],
  'onnxruntime-node': ['runtime', 'jobs/exported-session'],
  pino: ['train/observers/jsonl'],
  sharp: ['data/decode/sharp', 'data/pictures/load-sharp', 'data/pictures/picture-file'],
  sixel: ['data/pictures/terminal-picture'],
  'supports-terminal-graphics': ['cli/terminal-graphics'],
  yargs: ['cli'],
  yauzl: ['weights/foreign/pth'],
};

/** Packages that the page is bundled with when it is built: who installs mae has them in it. */
const bundled: Readonly<Record<string, readonly string[]>> = { uplot: ['page'] };

const root = fileURLToPath(new URL('../', import.meta.url));

/** Paths below the root with forward slashes. */
function filesOf(folder: string, ending: RegExp): string[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && ending.test(entry.name) && !entry.parentPath.includes('.venv'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

interface Specifier {
  readonly name: string;
  /** Whether it is gone at run time. */
  readonly isType: boolean;
}

interface Import {
  /** Both without `src/` and ending; `to` is the package's name where it is one. */
  readonly from: string;
  readonly to: string;
  readonly kind: 'file' | 'package' | 'node';
  readonly isType: boolean;
}

/** What the import and export lines of a source text name, and the packages whose folders it looks up. */
function specifiers(text: string): Specifier[] {
  const patterns = [
    /^(?:import|export)(?<type> type)?\b[^;'"]*?\bfrom\s*['"](?<name>[^'"]+)['"]/gm,
    /^import\s*['"](?<name>[^'"]+)['"]/gm,
    /(?<type>\btypeof )?\bimport\(\s*['"](?<name>[^'"]+)['"]/g,
    /\b(?:require|createRequire\([^)]*\))\.resolve\(\s*['"](?<name>[^'"]+)['"]/g,
  ];
  return patterns.flatMap((pattern) =>
    [...text.matchAll(pattern)].map(({ groups }) => ({
      name: groups!['name']!,
      isType: groups!['type'] !== undefined,
    })),
  );
}

function importsOf(file: string): Import[] {
  const from = file.replace(/^src\//, '').replace(/\.ts$/, '');
  return specifiers(readFileSync(join(root, file), 'utf8')).map(({ name, isType }): Import => {
    if (name.startsWith('.')) {
      const to = posix.join(dirname(from), name).replace(/\.js$/, '');
      return { from, to, kind: 'file', isType };
    }
    if (name.startsWith('node:')) return { from, to: name, kind: 'node', isType };
    const parts = name.split('/');
    const to = parts.slice(0, name.startsWith('@') ? 2 : 1).join('/');
    return { from, to, kind: 'package', isType };
  });
}

const sources = filesOf('src', /\.ts$/);
const files = sources.map((file) => file.slice('src/'.length, -'.ts'.length));
const imports = sources.flatMap(importsOf);
const fileImports = imports.filter(({ kind }) => kind === 'file');
const roomOf = (path: string): string => path.split('/')[0]!;
const isIn = (path: string, places: readonly string[]): boolean =>
  places.some((place) => path === place || path.startsWith(`${place}/`));
const arrow = ({ from, to }: Import): string => `${from} → ${to}`;

/** What files import, and what that imports in turn; themselves only in a circle. */
function reachedFrom(starts: readonly string[], edges: readonly Import[] = fileImports): Set<string> {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const found = new Set<string>();
  const pending = [...starts];
  while (pending.length > 0) {
    for (const to of next.get(pending.pop()!) ?? []) {
      if (found.has(to)) continue;
      found.add(to);
      pending.push(to);
    }
  }
  return found;
}

/** Files that reach themselves, with all that they share a circle with. */
function circlesOf(edges: readonly Import[]): string[][] {
  const names = [...new Set(edges.map(({ from }) => from))].sort();
  const reached = new Map(names.map((name) => [name, reachedFrom([name], edges)]));
  const circles = names
    .filter((name) => reached.get(name)!.has(name))
    .map((name) =>
      names.filter((other) => reached.get(name)!.has(other) && reached.get(other)!.has(name)).join(' '),
    );
  return [...new Set(circles)].map((circle) => circle.split(' '));
}

test('import lines are read', () => {
  const text = `
import { a,
  b } from './a.js';
import type { C } from "../c/c.js";
import { type F, g } from './f.js';
import './effect.js';
export { d } from 'd/part';
export type { D } from 'd';
// import nothing from './comment.js'
export const name = 'from';
const e = await import('@scope/e/f');
type H = typeof import('h');
const path = require.resolve('i/package.json');
`;
  const value = (name: string) => ({ name, isType: false });
  const type = (name: string) => ({ name, isType: true });
  expect(specifiers(text)).toEqual([
    ...[value('./a.js'), type('../c/c.js'), value('./f.js'), value('d/part'), type('d')],
    value('./effect.js'),
    ...[value('@scope/e/f'), type('h')],
    value('i/package.json'),
  ]);
  expect(imports.length).toBeGreaterThan(2 * sources.length);
});

test('circles are found', () => {
  const edges = ['a b', 'b c', 'c b', 'c d', 'd e', 'f f'].map((edge): Import => {
    const [from, to] = edge.split(' ') as [string, string];
    return { from, to, kind: 'file', isType: false };
  });
  expect(circlesOf(edges)).toEqual([['b', 'c'], ['f']]);
});

describe('rooms', () => {
  test('every folder of src is one', () => {
    const folders = readdirSync(join(root, 'src'), { withFileTypes: true }).map(({ name }) => name);
    expect(folders.sort()).toEqual([...rooms, ...foreignRooms].sort());
    expect([...new Set(files.map(roomOf))].sort()).toEqual([...rooms].sort());
  });

  test.each(rooms.map((room, i) => [room, rooms.slice(i)] as const))(
    '%s imports only from %j',
    (room, allowed) => {
      const wrong = fileImports.filter(({ from, to }) => roomOf(from) === room && !isIn(to, allowed));
      expect(wrong.map(arrow)).toEqual([]);
    },
  );

  test.each(Object.entries(innerRooms))('%s imports of its room only %j', (folder, allowed) => {
    expect(files.filter((file) => isIn(file, [folder]))).not.toEqual([]);
    const wrong = fileImports.filter(
      ({ from, to }) =>
        isIn(from, [folder]) && roomOf(to) === roomOf(folder) && !isIn(to, [folder, ...allowed]),
    );
    expect(wrong.map(arrow)).toEqual([]);
  });

  test('nothing imports AssemblyScript: it is compiled apart', () => {
    const isWasm = (file: string) => /\/wasm\//.test(file);
    expect(fileImports.filter(({ from, to }) => isWasm(to) && !isWasm(from)).map(arrow)).toEqual([]);
  });

  test('the page loads nothing of Node, and nothing loads it but for its types', () => {
    const ofPage = imports.filter(({ from }) => roomOf(from) === 'page');
    expect(ofPage.filter(({ kind }) => kind === 'node').map(arrow)).toEqual([]);
    const toPage = fileImports.filter(({ from, to }) => roomOf(from) !== 'page' && roomOf(to) === 'page');
    expect(toPage.filter(({ to, isType }) => !isType || to !== 'page/report-data').map(arrow)).toEqual([]);
  });

  test('util needs Node only', () => {
    const wrong = imports.filter(({ from, kind }) => roomOf(from) === 'util' && kind === 'package');
    expect(wrong.map(arrow)).toEqual([]);
  });

  /** The rooms that a room reaches, by whatever way. */
  const roomsFrom = (room: string): string[] => {
    const reached = reachedFrom(files.filter((file) => roomOf(file) === room));
    return [...new Set([room, ...[...reached].map(roomOf)])].sort();
  };

  test('artifact and runtime know nothing of each other', () => {
    expect(roomsFrom('artifact')).not.toContain('runtime');
    expect(roomsFrom('runtime')).toEqual(['runtime', 'util']);
  });

  test('the compiler knows no model and no runtime', () => {
    expect(roomsFrom('compiler')).toEqual(['compiler', 'util']);
  });

  test('training knows graphs by their files: it loads nothing that makes them', () => {
    const loads = fileImports.filter(({ isType }) => !isType);
    const loaded = reachedFrom(
      files.filter((file) => roomOf(file) === 'train'),
      loads,
    );
    expect([...loaded].filter((file) => roomOf(file) === 'compiler')).toEqual(['compiler/training-names']);
  });

  test('no files import each other in a circle, types included', () => {
    expect(circlesOf(fileImports)).toEqual([]);
  });

  test('imported files exist', () => {
    expect(fileImports.filter(({ to }) => !files.includes(to)).map(arrow)).toEqual([]);
  });
});

describe('packages', () => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>;
    devDependencies: Record<string, string>;
  };

  test('what src imports is a dependency', () => {
    const used = new Set(imports.filter(({ kind }) => kind === 'package').map(({ to }) => to));
    expect([...used].filter((name) => !(name in dependencies) && !(name in bundled))).toEqual([]);
    expect(Object.keys(bundled).filter((name) => !(name in devDependencies))).toEqual([]);
  });

  test('every dependency has a fence', () => {
    expect(Object.keys(packageUsers).sort()).toEqual(Object.keys(dependencies).sort());
  });

  test.each(Object.entries({ ...packageUsers, ...bundled }))('%s is imported only by %j', (name, users) => {
    const importers = imports.filter(({ to, kind }) => kind === 'package' && to === name);
    expect(importers.filter(({ from }) => !isIn(from, users)).map(arrow)).toEqual([]);
    expect(users.filter((user) => !importers.some(({ from }) => isIn(from, [user])))).toEqual([]);
  });
});

describe('lengths', () => {
  const lengthOf = (file: string): number => readFileSync(join(root, file), 'utf8').split('\n').length - 1;

  test('no file of src or test is longer than 500 lines', () => {
    const all = [...sources, ...filesOf('test', /\.(ts|mjs|py)$/)];
    expect(all.map((file) => [file, lengthOf(file)] as const).filter(([, lines]) => lines > 500)).toEqual([]);
  });

  test('the median file of src stays under 100 lines', () => {
    const lengths = sources.map(lengthOf).sort((a, b) => a - b);
    expect(lengths[lengths.length >> 1]).toBeLessThan(100);
  });
});
