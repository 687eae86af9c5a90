/** `log.jsonl` of a run, read back and cut; `observers/jsonl.ts` writes it. */
import { readFile } from 'node:fs/promises';
import { codeOf } from '../util/errors.js';
import { writeTextAtomically } from '../weights/checkpoint/durable-files.js';

/** Whether a run got as far as its first training line. */
export async function logHasSteps(path: string): Promise<boolean> {
  return (await readLog(path)).includes('"type":"train"');
}

/** The mean losses of the epochs that a run ended, in their order. */
export async function epochLosses(path: string): Promise<number[]> {
  const lines = (await readLog(path)).split('\n').filter((line) => line.includes('"type":"epoch"'));
  return lines.map((line) => (JSON.parse(line) as { loss: number }).loss);
}

/**
 * Removes what a killed process wrote after the checkpoint that the run goes on from: lines of later steps and
 * a torn last line.
 */
export async function trimLog(path: string, lastStep: number): Promise<void> {
  const text = await readLog(path);
  const kept = text.split('\n').filter((line) => {
    try {
      const { step } = JSON.parse(line) as { step?: number };
      return step === undefined || step <= lastStep;
    } catch {
      return false;
    }
  });
  const trimmed = kept.map((line) => `${line}\n`).join('');
  if (trimmed !== text) await writeTextAtomically(path, trimmed);
}

async function readLog(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR') return '';
    throw error;
  }
}
