import { closeSync, openSync, readSync } from 'node:fs';
import { checkRegularFile } from '../../util/regular-file.js';
import { explained } from '../../util/system-errors.js';

export type ModelFormat = 'pth' | 'safetensors';

/** The format of a file of tensors by its first bytes, whatever its name; undefined where they show none. */
export function modelFormat(path: string): ModelFormat | undefined {
  checkRegularFile(path, 'checkpoint');
  const start = Buffer.alloc(9);
  try {
    const descriptor = openSync(path, 'r');
    try {
      if (readSync(descriptor, start, 0, start.length, 0) < start.length) return undefined;
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    throw explained(error, 'checkpoint', `to read ${path}`);
  }
  if (start.toString('latin1', 0, 4) === 'PK\u0003\u0004') return 'pth'; // a zip file
  // the length of a header of less than 2^32 bytes, then its JSON
  return start.readUInt32LE(4) === 0 && start[8] === 0x7b ? 'safetensors' : undefined;
}

/** Whether a name is that of a file of torch.save. */
export function isPth(path: string): boolean {
  return ['.pth', '.pt', '.bin', '.ckpt', '.pth.tar', '.pkl'].some((ending) => path.endsWith(ending));
}

/** Whether a file holds tensors, by its name or by its bytes. */
export function isModelFile(path: string): boolean {
  const isNamed = path.endsWith('.safetensors') || path.endsWith('.safetensors.index.json') || isPth(path);
  return isNamed || modelFormat(path) !== undefined;
}
