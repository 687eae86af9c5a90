/** Classes that a file gives to images: `path,label`, a row an image. */
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { CsvError, parse } from 'csv-parse/sync';
import { messageOf, UserError } from '../../util/errors.js';
import { checkRegularFile } from '../../util/regular-file.js';
import { LabelledSource } from './labelled-source.js';
import type { ImageSource } from './source.js';

export interface Label {
  /** As it stands in the file: below the folder of the images, or whole. */
  readonly path: string;
  readonly label: string;
  /** Where it stands, for people. */
  readonly line: number;
}

export interface Labels {
  readonly file: string;
  /** At least one. */
  readonly rows: readonly Label[];
}

type Note = (line: string) => void;

/** Reads a CSV file (RFC 4180, UTF-8) whose first line names the columns; a UserError that names the line where it is none. */
export function readLabels(file: string, note: Note = () => {}): Labels {
  const refuse = (got: string, remedy: string) =>
    new UserError(
      `labels: expected ${file} to be a CSV file with the columns path,label, got ${got}; ${remedy}`,
    );
  checkRegularFile(file, 'labels');
  const [header, ...records] = parsed(file, refuse);
  if (header === undefined) throw refuse('an empty file', 'write a line for each image');
  const { record: names } = header;
  const [pathAt, labelAt] = ['path', 'label'].map((name) => names.indexOf(name)) as [number, number];
  if (pathAt < 0 || labelAt < 0)
    throw refuse(`the first line ${JSON.stringify(names.join(','))}`, 'name them there');
  const others = names.filter((_, at) => at !== pathAt && at !== labelAt);
  if (others.length > 0) note(`${file}: the columns ${others.join(', ')} are not read`);
  const rows = records.map(({ record, info }) => {
    const [path, label] = [record[pathAt]!, record[labelAt]!];
    if (path === '')
      throw refuse(`no path in line ${info.lines}`, 'name the image there, or remove the line');
    if (label === '')
      throw refuse(`no label in line ${info.lines}`, 'name the class there, or remove the line');
    if (/[\r\n]/.test(label))
      throw refuse(`a label of several lines in line ${info.lines}`, 'take a name of one');
    return { path, label, line: info.lines };
  });
  if (rows.length === 0) throw refuse('the first line alone', 'write a line for each image');
  return { file, rows };
}

interface CsvRecord {
  readonly record: string[];
  /** `lines`: where the record ends in the file. */
  readonly info: { readonly lines: number };
}

function parsed(file: string, refuse: (got: string, remedy: string) => UserError): CsvRecord[] {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file)); // which drops a byte order mark
  } catch (error) {
    if (error instanceof TypeError) throw refuse('bytes that are not UTF-8', 'save it as UTF-8');
    throw refuse(messageOf(error), 'check the file');
  }
  try {
    return parse(text, { info: true, skip_empty_lines: true, trim: true }) as unknown as CsvRecord[];
  } catch (error) {
    if (error instanceof CsvError) throw refuse(error.message, 'mend that line');
    throw error;
  }
}

/**
 * The source with the classes of a file; images that it does not name have none, and their number is noted. A UserError
 * where the file names an image twice, or one that is not there.
 *
 * @param beside other folders whose images the file names as well, such as those of validation
 */
export function withLabels(
  source: ImageSource,
  labels: Labels,
  note: Note = () => {},
  beside: readonly ImageSource[] = [],
): ImageSource {
  const rows = rowsByPath(labels, source.root);
  const found = new Map<number, Label>();
  for (let i = 0; i < source.length; i++) {
    const row = rows.get(source.name(i));
    if (row !== undefined) found.set(i, row);
  }
  checkPaths(labels, source, new Set(found.values()), beside);
  const names = [...new Set([...found.values()].map(({ label }) => label))];
  const classNames = names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const places = new Map(classNames.map((name, place) => [name, place]));
  const unnamed = source.length - found.size;
  if (unnamed > 0)
    note(
      `${labels.file} names ${found.size} of the ${source.length} images of ${source.root}: the others have no class`,
    );
  return new LabelledSource(source, classNames, (i) => places.get(found.get(i)?.label ?? '') ?? -1);
}

/** Rows by the whole paths of their images. */
function rowsByPath({ file, rows }: Labels, root: string): Map<string, Label> {
  const byPath = new Map<string, Label>();
  for (const row of rows) {
    const path = resolve(root, row.path);
    const earlier = byPath.get(path);
    if (earlier !== undefined) {
      const labels = earlier.label === row.label ? '' : ` (${earlier.label}, then ${row.label})`;
      throw new UserError(
        `labels: expected each image once in ${file}, got ${row.path} in lines ${earlier.line} and ${row.line}${labels}; ` +
          'remove one of them',
      );
    }
    byPath.set(path, row);
  }
  return byPath;
}

/** A UserError unless each row names one image of all these folders. */
function checkPaths(
  labels: Labels,
  source: ImageSource,
  found: ReadonlySet<Label>,
  beside: readonly ImageSource[],
): void {
  const elsewhere = new Map<Label, ImageSource>();
  for (const other of beside) {
    const rows = rowsByPath(labels, other.root);
    for (let i = 0; i < other.length; i++) {
      const row = rows.get(other.name(i));
      if (row !== undefined) elsewhere.set(row, other);
    }
  }
  const roots = [source, ...beside].map(({ root }) => root).join(' or ');
  const unknown = labels.rows.filter((row) => !found.has(row) && !elsewhere.has(row));
  const [first] = unknown;
  if (first !== undefined) {
    const others = unknown.length === 1 ? '' : ` and ${unknown.length - 1} others`;
    throw new UserError(
      `labels: expected images of ${roots}, got ${first.path} in line ${first.line} of ${labels.file}${others}; ` +
        'give paths below the folder of the images, or whole ones',
    );
  }
  const twice = [...found].find((row) => elsewhere.has(row) && resolve(source.root, row.path) !== row.path);
  if (twice !== undefined) {
    throw new UserError(
      `labels: expected one image for each line of ${labels.file}, got ${twice.path} in ${source.root} and in ` +
        `${elsewhere.get(twice)!.root}; give whole paths`,
    );
  }
}

/**
 * The images of validation with the classes of training, in its order. A UserError where they have others.
 */
export function alignClasses(train: ImageSource, val: ImageSource): ImageSource {
  const known = train.classNames;
  const foreign = val.classNames.filter((name) => !known.includes(name));
  if (foreign.length > 0) {
    throw new UserError(
      `classes: expected those of ${train.root} (${listed(known)}) in ${val.root}, got ${listed(foreign)} as well; ` +
        'remove these images there, or add such to the training images',
    );
  }
  const places = val.classNames.map((name) => known.indexOf(name));
  return new LabelledSource(val, known, (i) => places[val.labelOf(i)] ?? -1);
}

/**
 * A UserError unless there are two classes or more, each with an image.
 *
 * @param labels of the images that could be read; −1 of one without a class
 */
export function checkClasses(root: string, classNames: readonly string[], labels: Iterable<number>): void {
  if (classNames.length < 2) {
    const got = classNames.length === 0 ? 'none' : `${classNames[0]} alone`;
    throw new UserError(
      `classes: expected two or more in ${root}, got ${got}; put the images of each class into a folder of its own there, ` +
        'or give --labels',
    );
  }
  const seen = new Set(labels);
  const empty = classNames.filter((_, place) => !seen.has(place));
  if (empty.length === 0) return;
  throw new UserError(
    `classes: expected images that can be read of each class in ${root}, got none of ${listed(empty)}; add some, or ` +
      'remove the class',
  );
}

const shownClasses = 5;

function listed(names: readonly string[]): string {
  const rest = names.length - shownClasses;
  return names.slice(0, shownClasses).join(', ') + (rest > 0 ? ` and ${rest} more` : '');
}
