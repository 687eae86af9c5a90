/** The JSON files of a run directory: what of them may differ between two versions, and that the rest does not. */
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { isWorse, relativeDifference } from './files.mjs';

/** A norm of its own graph adds the squares up in another order. */
const normTolerance = 1e-5;

const readJson = (path) => JSON.parse(readFileSync(path, 'utf8'));

/** Without the versions of the programs. */
export function compareConfigs(wantedPath, gotPath) {
  const [wanted, got] = [wantedPath, gotPath].map((path) => {
    const { mae, node, onnxruntime, ...rest } = readJson(path);
    return rest;
  });
  return compareFields(wanted, got);
}

/** The files are compared as files, not by what is said of them here. */
export function compareManifests(wantedPath, gotPath) {
  const [{ files: theirs, formatVersion: before, ...wanted }, { files: ours, formatVersion, ...got }] = [
    readJson(wantedPath),
    readJson(gotPath),
  ];
  const compared = compareFields(wanted, got);
  const listed = Object.keys(theirs).filter((name) => !(name in ours));
  compared.problems.push(...listed.map((name) => `files.${name}: only the other version has it`));
  if (before !== formatVersion) compared.notes.push(`format version ${formatVersion}, before ${before}`);
  return compared;
}

/** Field by field: those of both sides have to be equal, those of one side are told. */
function compareFields(wanted, got, path = '') {
  if (!isRecord(wanted) || !isRecord(got)) {
    if (isDeepStrictEqual(wanted, got)) return { problems: [], notes: [] };
    return { problems: [`${path}: ${JSON.stringify(got)}, expected ${JSON.stringify(wanted)}`], notes: [] };
  }
  const [problems, notes, missing] = [[], [], { this: new Set(), other: new Set() }];
  if (Array.isArray(wanted) && wanted.length !== got.length) {
    problems.push(`${path}: ${got.length} entries, expected ${wanted.length}`);
  }
  for (const field of new Set([...Object.keys(wanted), ...Object.keys(got)])) {
    const place = path === '' ? field : `${path}.${field}`;
    if (!(field in got)) missing.this.add(place);
    else if (!(field in wanted)) missing.other.add(place);
    else {
      const below = compareFields(wanted[field], got[field], place);
      problems.push(...below.problems);
      notes.push(...below.notes);
    }
  }
  notes.push(...[...missing.this].map((place) => `${place}: only the other version has it`));
  notes.push(...[...missing.other].map((place) => `${place}: only this version has it`));
  // what all entries of a list say is said once
  return { problems, notes: Array.isArray(wanted) ? withoutIndices(notes, path) : notes };
}

const isRecord = (value) => typeof value === 'object' && value !== null;

function withoutIndices(notes, path) {
  return [...new Set(notes.map((note) => `${path}.*${note.slice(path.length).replace(/^\.\d+/, '')}`))];
}

/** Lines that earlier versions did not write: left out where the other side has none. */
const newTypes = ['pictures', 'end', 'guesses'];

/**
 * Line by line, as they are written: without times and speeds, and with the norms of gradients apart.
 *
 * @param types which lines to compare; all where not given.
 */
export function compareLogs(wantedPath, gotPath, { types } = {}) {
  let [wanted, got] = [wantedPath, gotPath].map((path) =>
    readFileSync(path, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
      .filter(({ type }) => types === undefined || types.includes(type)),
  );
  for (const type of newTypes) {
    if (wanted.every((line) => line.type !== type)) got = got.filter((line) => line.type !== type);
  }
  const problems = [];
  if (wanted.length !== got.length) problems.push(`${got.length} lines, expected ${wanted.length}`);
  if (wanted.length === 0) problems.push('the other version wrote no such lines');
  let [largest, where, norms] = [0, '', 0];
  for (const [i, line] of wanted.entries()) {
    if (i >= got.length) break;
    const [a, b] = [line, got[i]].map(comparedText);
    const place = `line ${i + 1}, ${line.type} of step ${line.step}`;
    if (a !== b) problems.push(`${place}: ${b}, expected ${a}`);
    if (line.grad_norm === undefined) continue;
    norms++;
    const difference = relativeDifference(Number(line.grad_norm), Number(got[i].grad_norm));
    if (isWorse(difference, largest)) [largest, where] = [difference, place];
  }
  if (norms === 0) return { problems };
  if (where === '') return { problems, notes: [`${norms} grad_norm identical`] };
  const sentence = `grad_norm differs by a relative ${largest.toExponential(1)} at most, in ${where}`;
  return largest <= normTolerance ? { problems, notes: [sentence] } : { problems: [...problems, sentence] };
}

/** A line without what never is the same twice; the norm leaves its place, for the order of fields counts. */
function comparedText(line) {
  const { time, images_per_second, data_wait, ...rest } = line;
  return JSON.stringify('grad_norm' in rest ? { ...rest, grad_norm: '?' } : rest);
}
