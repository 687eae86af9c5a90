import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { compiledFile } from '../../src/util/compiled.js';

const source = fileURLToPath(new URL('../../src', import.meta.url));
const dist = fileURLToPath(new URL('../../dist', import.meta.url));

/** What src asks of dist, by path. */
const asked = readdirSync(source, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .flatMap((file) => [
    ...readFileSync(join(source, file), 'utf8').matchAll(/\bcompiledFile\(\s*['"]([^'"]+)['"]/g),
  ])
  .map((match) => match[1]!);

test('a file of dist, from the sources and from dist itself', async () => {
  const path = 'data/loader-worker.js';
  const own = compiledFile('util/compiled.js');
  expect(fileURLToPath(own)).toBe(join(dist, 'util', 'compiled.js'));
  const fromDist = (await import(own.href)) as typeof import('../../src/util/compiled.js');
  expect(fileURLToPath(fromDist.compiledFile(path))).toBe(join(dist, path));
  expect(compiledFile(path).href).toBe(fromDist.compiledFile(path).href);
});

test('what src asks for is compiled', () => {
  expect(asked.length).toBeGreaterThan(5);
  // without a C++ compiler there is no library
  const missing = asked.filter((path) => !path.startsWith('kernels/') && !existsSync(join(dist, path)));
  expect(missing).toEqual([]);
});

test('no other file knows where dist is', () => {
  const others = readdirSync(source, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && file !== join('util', 'compiled.ts'))
    .filter((file) => /['"`][./]*\/dist\//.test(readFileSync(join(source, file), 'utf8')));
  expect(others).toEqual([]);
});
