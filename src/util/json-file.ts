import { readFileSync, statSync } from 'node:fs';
import { codeOf, messageOf, UserError } from './errors.js';
import { kindOf } from './regular-file.js';

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
    const isFromShell = stats.isFIFO() && /^\/(dev|proc)\//.test(String(path));
    if (!stats.isFile() && !isFromShell) throw refuse(kindOf(stats));
    bytes = readFileSync(path);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw refuse(codeOf(error) === 'ENOENT' ? 'nothing there; check the path' : messageOf(error));
  }
  let repeated: string | undefined;
  try {
    const text = decode(bytes);
    const value: unknown = JSON.parse(text);
    repeated = repeatedKey(text);
    if (repeated === undefined) return value;
  } catch (error) {
    throw refuse(bytes.length === 0 ? 'an empty file' : messageOf(error));
  }
  throw refuse(`${JSON.stringify(repeated)} twice; remove one of them`);
}

/** Windows' own editors and shells write UTF-16 as well; a decoder drops the mark. */
function decode(bytes: Uint8Array): string {
  const encoding = bytes[0] === 0xff && bytes[1] === 0xfe ? 'utf-16le' : 'utf-8';
  return new TextDecoder(encoding).decode(bytes);
}

/** The first key that one object of valid JSON has twice: JSON.parse keeps the last one in silence. */
export function repeatedKey(json: string): string | undefined {
  const open: (Set<string> | undefined)[] = []; // the keys of the objects around i; undefined for an array
  for (let i = 0; i < json.length; i++) {
    const c = json[i];
    if (c === '{') open.push(new Set());
    else if (c === '[') open.push(undefined);
    else if (c === '}' || c === ']') open.pop();
    else if (c === '"') {
      const start = i++;
      for (; json[i] !== '"'; i++) if (json[i] === '\\') i++;
      let next = i + 1;
      while (next < json.length && ' \t\n\r'.includes(json[next]!)) next++;
      if (json[next] !== ':') continue;
      const key = JSON.parse(json.slice(start, i + 1)) as string;
      const keys = open.at(-1)!;
      if (keys.has(key)) return key;
      keys.add(key);
    }
  }
  return undefined;
}
