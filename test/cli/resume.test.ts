import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { root } from '../support/cli.js';
import { fileFolder, filesOf, readLog, savedSteps } from '../support/cli-files.js';

const folder = fileFolder();

test('a run that is killed ten times ends as one that is left alone, byte for byte', {
  timeout: 240_000,
}, async () => {
  const script = join(root, 'test/cli/kill-and-resume.mjs');
  const child = spawn(process.execPath, [script, '--kills', '10', '--seed', '1', '--folder', folder]);
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      printed += text;
    });
  }
  const [code] = await once(child, 'close');
  expect(code, printed).toBe(0);
  expect(printed.match(/^kill /gm)).toHaveLength(10);
  expect(printed).toMatch(/equal after 10 kills, [1-9]\d* of them inside a checkpoint/);

  // what the script says, seen once more
  const [killed, undisturbed] = [join(folder, 'killed'), join(folder, 'undisturbed')];
  const last = savedSteps(undisturbed).at(-1)!;
  expect(last).toBe(180);
  const checkpoint = `checkpoints/step-${last}`;
  const wanted = filesOf(join(undisturbed, checkpoint));
  expect(Object.keys(wanted).sort()).toEqual([
    'SHA256SUMS',
    'model.safetensors',
    'optimizer.safetensors',
    'state.json',
  ]);
  expect(filesOf(join(killed, checkpoint))).toEqual(wanted);
  const losses = (run: string) => readLog(run, 'train').map(({ step, loss }) => [step, loss]);
  expect(losses(killed)).toEqual(losses(undisturbed));
  expect(losses(killed).map(([step]) => step)).toEqual(Array.from({ length: last }, (_, i) => i + 1));
});
