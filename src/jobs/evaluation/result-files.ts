import { writeFile } from 'node:fs/promises';
import { isAbsolute, join, relative } from 'node:path';
import { confusionChart } from '../../data/pictures/confusion-chart.js';
import { chartSharp, isChart } from '../../data/pictures/svg.js';
import { csvField } from '../../util/csv.js';
import { replaceFile } from '../../util/replace-file.js';
import { isFile } from '../../weights/checkpoint/durable-files.js';
import { checkOutputFile, checkOutputFolder, readJson, real, refused } from '../check-output.js';
import { resultFiles, resultsFormat } from './result-names.js';

/** A UserError where a file of another kind would be replaced, one would lie among the images, or none can be drawn. */
export async function checkResultFolder(
  folder: string,
  imageFolders: readonly string[],
  inputs: readonly string[],
): Promise<void> {
  checkOutputFolder(folder);
  await chartSharp();
  for (const images of imageFolders) {
    if (!isWithin(folder, images)) continue;
    throw refused(folder, 'a folder of its own', `one in the images of ${images}`, 'choose another folder');
  }
  for (const name of Object.values(resultFiles)) {
    const path = join(folder, name);
    checkOutputFile(path, inputs);
    if ((await isFile(path)) && !(await isOurs(name, folder))) {
      throw refused(
        path,
        'a new file or results of mae evaluate',
        'a file of something else',
        'choose another folder',
      );
    }
  }
}

/** A CSV file says nothing of its origin: it is that of the results beside it. */
async function isOurs(name: string, folder: string): Promise<boolean> {
  if (name.endsWith('.png')) return isChart(join(folder, name));
  return readJson(join(folder, resultFiles.results))['format'] === resultsFormat;
}

function isWithin(path: string, folder: string): boolean {
  const way = relative(real(folder), real(path));
  return way === '' || !(/^\.\.(?:[\\/]|$)/.test(way) || isAbsolute(way));
}

/** Files by their names. */
export type Contents = Readonly<Record<string, string | Uint8Array>>;

/** A CSV file and a picture. counts: [C, C] */
export async function confusionFiles(
  counts: Int32Array,
  classNames: readonly string[],
  title: string,
): Promise<Contents> {
  const header = ['true', ...classNames];
  const rows = classNames.map((name, row) => [
    name,
    ...counts.subarray(row * classNames.length, (row + 1) * classNames.length),
  ]);
  const csv = [header, ...rows].map((cells) => `${cells.map((cell) => csvField(`${cell}`)).join(',')}\n`);
  return {
    [resultFiles.confusion]: csv.join(''),
    [resultFiles.confusionChart]: await confusionChart(counts, classNames, title),
  };
}

/** The first names the origin of the others: it is there if one of them is. */
export async function writeResultFiles(folder: string, contents: Contents): Promise<void> {
  for (const [name, content] of Object.entries(contents)) {
    await replaceFile(join(folder, name), 'results', (temporary) => writeFile(temporary, content));
  }
}
