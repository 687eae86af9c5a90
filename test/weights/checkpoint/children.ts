/**
 * What the tests of this folder run in a process of its own, to kill it:
 *
 *   save <run> <saves> [operation]   saves checkpoints, each step twice, and kills itself before that file operation
 *   hold <run>                       claims the run directory and waits
 *   claim <run> 0 <operation>        claims it and exits, or kills itself before that file operation
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { latestCheckpoint, writeCheckpoint } from '../../../src/weights/checkpoint/run-directory.js';
import { claimRunDirectory } from '../../../src/weights/checkpoint/run-lock.js';
import { writeState } from '../../../src/weights/checkpoint/state.js';

const [command, run, saves, operation] = process.argv.slice(2);

if (command === 'claim' && operation !== undefined) killBefore(Number(operation));
await claimRunDirectory(run!);
process.stdout.write('claimed\n');
if (command === 'save' && operation !== undefined) killBefore(Number(operation));
if (command === 'hold') {
  setInterval(() => {}, 1000);
} else if (command === 'save') {
  let step = (await latestCheckpoint(run!))?.step ?? 0;
  for (let save = 0; save < Number(saves); save++) {
    if (save % 2 === 0) step++;
    const content = `${step} ${process.pid} ${save} `.repeat(5000);
    const write = async (folder: string) => {
      fs.writeFileSync(join(folder, 'model.safetensors'), `model ${content}`);
      fs.writeFileSync(join(folder, 'optimizer.safetensors'), `optimizer ${content}`);
      const sha256 = createHash('sha256').update(content).digest('hex');
      await writeState(folder, { step, sha256 });
    };
    await writeCheckpoint(run!, step, write, 2);
  }
  process.stdout.write('done\n');
  process.exit();
}

/** Counts the calls that change a folder, asks of each that `latest` names a whole checkpoint before it, and dies. */
function killBefore(last: number): void {
  let count = 0;
  const promises = fs.promises as unknown as Record<string, (...args: never[]) => unknown>;
  for (const name of ['open', 'rename', 'link', 'rm', 'mkdir']) {
    const original = promises[name]!;
    promises[name] = (...args) => {
      const checkpoints = join(run!, 'checkpoints');
      const latest = join(checkpoints, 'latest');
      if (fs.existsSync(latest)) {
        const folder = join(checkpoints, fs.readFileSync(latest, 'utf8').trim());
        if (fs.readdirSync(folder).length !== 4)
          throw new Error(`latest names ${folder}, which is not whole`);
      }
      if (++count === last) process.kill(process.pid, 'SIGKILL');
      return original(...args);
    };
  }
  syncBuiltinESMExports();
}
