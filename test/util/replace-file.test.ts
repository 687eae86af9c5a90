import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { replaceFile } from '../../src/util/replace-file.js';

const compiled = fileURLToPath(new URL('../../dist/util/replace-file.js', import.meta.url));

function emptyFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mae-replace-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

test('a file appears whole, and nothing beside it is left', async () => {
  const folder = emptyFolder();
  const path = join(folder, 'a.txt');
  const { writeFile } = await import('node:fs/promises');
  await replaceFile(path, 'test', (temporary) => writeFile(temporary, 'whole'));
  expect(readFileSync(path, 'utf8')).toBe('whole');
  expect(readdirSync(folder)).toEqual(['a.txt']);
});

test('a write that is under way when the process ends leaves no file', () => {
  const folder = emptyFolder();
  // a thread of the pool that opens the file only after it was removed, as an exit handler that comes later
  const script = `
    import { writeFileSync } from 'node:fs';
    import { replaceFile } from ${JSON.stringify(compiled)};
    await replaceFile(${JSON.stringify(join(folder, 'a.txt'))}, 'test', async (temporary) => {
      process.on('exit', () => { try { writeFileSync(temporary, 'late'); } catch {} });
      process.exit(7);
    });`;
  expect(spawnSync(process.execPath, ['--input-type=module', '-e', script]).status).toBe(7);
  expect(readdirSync(folder)).toEqual([]);
});
