/** Files of two versions, byte by byte. A comparison gives `{ problems, notes }`, sentences both. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

/** Relative paths below a folder, sorted; of a file, the empty one. */
export function filesBelow(path) {
  if (!existsSync(path)) return [];
  if (!statSync(path).isDirectory()) return [''];
  return readdirSync(path, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(path, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .sort();
}

export function compareBytes(wantedPath, gotPath) {
  const [wanted, got] = [readFileSync(wantedPath), readFileSync(gotPath)];
  if (wanted.equals(got)) return { problems: [] };
  const first = wanted.findIndex((byte, i) => byte !== got[i]);
  const problems = [
    `${got.length} bytes, expected ${wanted.length}; the first that differs is ${first < 0 ? wanted.length : first}`,
  ];
  if (wantedPath.endsWith('.safetensors')) problems.push(...tensorDifferences(wanted, got));
  return { problems };
}

/** Folders whose files are too many for a line each. */
export function compareFolders(wanted, got) {
  const [names, ours] = [filesBelow(wanted), filesBelow(got)];
  const problems = names.length === 0 ? ['the other version wrote nothing'] : [];
  for (const name of new Set([...names, ...ours])) {
    if (!ours.includes(name)) problems.push(`${name}: only the other version has it`);
    else if (!names.includes(name)) problems.push(`${name}: only this version has it`);
    else
      problems.push(
        ...compareBytes(join(wanted, name), join(got, name)).problems.map((line) => `${name}: ${line}`),
      );
  }
  return { problems };
}

export function compareText(wanted, got) {
  const [expected, actual] = [wanted.split('\n'), got.split('\n')];
  const problems = [];
  for (let i = 0; i < Math.max(expected.length, actual.length); i++) {
    if (expected[i] !== actual[i]) problems.push(`line ${i + 1}: ${actual[i]}, expected ${expected[i]}`);
  }
  return { problems };
}

/** |got − wanted| / |wanted|; 0 for two numbers that are the same, NaN included. */
export function relativeDifference(wanted, got) {
  return Object.is(wanted, got) ? 0 : Math.abs(got - wanted) / Math.abs(wanted);
}

/** NaN is worse than any number. */
export function isWorse(difference, largest) {
  return !Number.isNaN(largest) && !(difference <= largest);
}

/** What differs between two safetensors files of float32: how far, and by the names of the tensors. */
function tensorDifferences(wanted, got) {
  const [expected, actual] = [readTensors(wanted), readTensors(got)];
  const names = [...new Set([...expected.keys(), ...actual.keys()])];
  const differing = names.filter((name) => !equalBytes(expected.get(name), actual.get(name)));
  if (differing.length === 0) return ['the tensors are the same: names, order or metadata differ'];
  let [largest, where] = [0, ''];
  for (const name of differing) {
    const [a, b] = [expected, actual].map((tensors) => tensors.get(name) ?? new Float32Array());
    // of the tensor's largest number, for small ones may be nothing but rounding
    const scale = a.reduce((most, number) => Math.max(most, Math.abs(number)), 0);
    const difference = a.reduce((most, number, i) => Math.max(most, Math.abs(number - b[i])), 0) / scale;
    if (isWorse(difference, largest)) [largest, where] = [difference, name];
  }
  const size = largest.toExponential(1);
  return [
    `${differing.length} of ${names.length} tensors differ, ${where} the most: by ${size} of its largest number`,
  ];
}

function equalBytes(a, b) {
  if (a === undefined || b === undefined) return false;
  return Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(
    Buffer.from(b.buffer, b.byteOffset, b.byteLength),
  );
}

/** 8 bytes of header size, a JSON header, the numbers. */
function readTensors(bytes) {
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, start));
  delete header.__metadata__;
  return new Map(
    Object.entries(header).map(
      ([
        name,
        {
          data_offsets: [from, to],
        },
      ]) => [name, new Float32Array(Uint8Array.from(bytes.subarray(start + from, start + to)).buffer)],
    ),
  );
}
