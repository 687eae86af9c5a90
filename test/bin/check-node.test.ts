import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
// @ts-expect-error a file of bin has no types
import { nodeProblem } from '../../bin/check-node.js';
import { root } from '../support/cli.js';

test('a Node that is too old is told which one is needed', () => {
  for (const version of ['v14.21.3', 'v18.20.8', 'v20.8.1', 'v9.99.0'])
    expect(nodeProblem(version)).toMatch(`Node 20.9 or later is needed, got ${version}`);
  for (const version of ['v20.9.0', 'v20.20.2', 'v21.0.0', 'v26.1.0'])
    expect(nodeProblem(version)).toBeUndefined();
});

/** Runs bin/mae.js in a copy of the package with so much of it. */
function runIn(files: Readonly<Record<string, string>>): { status: number | null; stderr: string } {
  const folder = mkdtempSync(join(tmpdir(), 'mae-bin-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  for (const name of ['bin', 'package.json'])
    cpSync(join(root, name), join(folder, name), { recursive: true });
  mkdirSync(join(folder, 'dist/cli'), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return spawnSync(process.execPath, [join(folder, 'bin/mae.js'), 'doctor'], { encoding: 'utf8' });
}

test('a package that is not built or not installed is one line', () => {
  const notBuilt = runIn({});
  expect(notBuilt).toMatchObject({ status: 1, stderr: 'mae: it is not built: run npm run build\n' });
  const notInstalled = runIn({ 'dist/cli/main.js': "import 'a-package-of-nobody';\n" });
  const stderr = 'mae: the package a-package-of-nobody is not installed: run npm install\n';
  expect(notInstalled).toMatchObject({ status: 1, stderr });
});
