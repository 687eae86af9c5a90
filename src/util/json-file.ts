import { readFileSync, statSync } from 'node:fs';
import { codeOf, messageOf, UserError } from './errors.js';

/**
 * The value in a JSON file that a person names, with or without a byte order mark. Shells hand pipes over below /dev;
 * another one would be waited for without end.
 *
 * @param where what names the file, for the error
 */
export function readJsonFile(path: string | URL, where: string): unknown {
  const refuse = (got: string) => new UserError(`${where}: expected a JSON file at ${path}, got ${got}`);
  let bytes: Uint8Array;
  try {
    const stats = statSync(path);
    if (stats.isDirectory()) throw refuse('a folder');
    const isPipe = stats.isFIFO() && /^\/(dev|proc)\//.test(String(path));
    if (!stats.isFile() && !isPipe) throw refuse('a device or pipe');
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw refuse(codeOf(error) === 'ENOENT' ? 'nothing there; check the path' : messageOf(error));
  }
  try {
    return JSON.parse(decode(bytes));
  } catch (error) {
    throw refuse(bytes.length === 0 ? 'an empty file' : messageOf(error));
  }
}

/** Windows' own editors and shells write UTF-16 as well; a decoder drops the mark. */
function decode(bytes: Uint8Array): string {
  const encoding = bytes[0] === 0xff && bytes[1] === 0xfe ? 'utf-16le' : 'utf-8';
  return new TextDecoder(encoding).decode(bytes);
}
