import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { expect, test } from 'vitest';
import { maeOk } from '../support/cli.js';
import { fileFolder, filesOf } from '../support/cli-files.js';

const folder = fileFolder();

async function render(name: string, ...flags: string[]): Promise<string> {
  const output = join(folder, name);
  const { stdout } = await maeOk(['sample-data', '-o', output, '--count', '6', ...flags]);
  expect(stdout).toBe(`6 images in ${output}\n`);
  return output;
}

test('two processes render the same bytes, another seed other ones', async () => {
  const [first, second, other] = await Promise.all([
    render('first'),
    render('second'),
    render('other', '--seed', '1'),
  ]);
  const files = filesOf(first);
  expect(filesOf(second)).toEqual(files);
  expect(Object.keys(filesOf(other)).sort()).toEqual(Object.keys(files).sort());
  for (const [name, hash] of Object.entries(filesOf(other))) expect(hash, name).not.toBe(files[name]);
  expect(new Set(Object.values(files)).size).toBe(6);
  expect(readdirSync(first).sort()).toEqual(['dead-leaves', 'gradients', 'textures']);
  for (const name of Object.keys(files)) {
    const { format, width, height } = await sharp(join(first, name)).metadata();
    expect(format).toBe('jpeg');
    expect(Math.min(width, height)).toBeGreaterThanOrEqual(64);
  }
});
