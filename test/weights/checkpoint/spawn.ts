/** Runs children.ts: compiled once into a temporary folder, since Node 20 reads no TypeScript. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Returns the folder of the compiled files; the caller removes it. */
export function compileChildren(): string {
  const folder = mkdtempSync(join(tmpdir(), 'mae-children-'));
  const config = {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { rootDir: root, outDir: folder, noCheck: true, sourceMap: false, types: [] },
    include: [],
    files: [join(root, 'test/weights/checkpoint/children.ts')],
  };
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '-p', folder]);
  return folder;
}

export function childScript(compiled: string): string {
  return join(compiled, 'test/weights/checkpoint/children.js');
}

export function startChild(compiled: string, ...args: string[]): ChildProcess {
  return spawn(process.execPath, [childScript(compiled), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/** Waits for its end; what it printed, and the signal that killed it. */
export async function endOf(child: ChildProcess): Promise<{ printed: string; signal: string | null }> {
  let printed = '';
  child.stdout!.on('data', (data) => {
    printed += data;
  });
  const [, signal] = await once(child, 'close');
  return { printed, signal };
}
