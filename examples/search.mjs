// The pictures of a folder that are most like one picture, by cosine of their features.
//
//   node search.mjs CHECKPOINT FOLDER PICTURE [HOW MANY]
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

const [checkpoint, folder, picture, count = 5] = process.argv.slice(2);
const scratch = mkdtempSync(join(tmpdir(), 'search-'));
try {
  mkdirSync(join(scratch, 'query'));
  copyFileSync(picture, join(scratch, 'query', basename(picture)));
  const [query] = features(join(scratch, 'query'));
  const found = features(folder).map(({ name, unit }) => ({ name, cosine: dot(unit, query.unit) }));
  found.sort((a, b) => b.cosine - a.cosine);
  for (const { name, cosine } of found.slice(0, count)) console.log(cosine.toFixed(3), join(folder, name));
} finally {
  rmSync(scratch, { recursive: true });
}

/** Features of each picture, of length 1; to search often, keep the file and read it again. */
function features(pictures) {
  const file = join(scratch, 'features.npy');
  const args = ['embed', '--checkpoint', checkpoint, '--data-path', pictures, '-o', file];
  execFileSync('mae', args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const names = readFileSync(join(scratch, 'features.names.txt'), 'utf8').trimEnd().split('\n');
  const bytes = readFileSync(file); // npy: a header of as many bytes as its 8th and 9th say, then float32 row by row
  const start = 10 + bytes.readUInt16LE(8);
  const all = new Float32Array(bytes.buffer.slice(bytes.byteOffset + start, bytes.byteOffset + bytes.length));
  const size = all.length / names.length;
  return names.map((name, i) => {
    const row = all.subarray(i * size, (i + 1) * size);
    return { name, unit: row.map((x) => x / Math.sqrt(dot(row, row))) };
  });
}

function dot(a, b) {
  return a.reduce((sum, x, i) => sum + x * b[i], 0);
}
