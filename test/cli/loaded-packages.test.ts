/** Packages that a command loads: a native library that it does not call must not be there for it to start. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { maeOk, root } from '../support/cli.js';
import { fileFolder } from '../support/cli-files.js';

const folder = fileFolder();
const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  dependencies: Record<string, string>;
};

/** Our dependencies among the scripts that V8, asked for coverage, says have run. */
async function packagesOf(...args: string[]): Promise<string[]> {
  const coverage = mkdtempSync(join(folder, 'coverage-'));
  await maeOk(args, { env: { NODE_V8_COVERAGE: coverage } });
  const urls = readdirSync(coverage).flatMap((file) => {
    const { result } = JSON.parse(readFileSync(join(coverage, file), 'utf8')) as {
      result: { url: string }[];
    };
    return result.map(({ url }) => url);
  });
  return Object.keys(dependencies).filter((name) =>
    urls.some((url) => url.includes(`/node_modules/${name}/`)),
  );
}

test.each<[string, string[], string[]]>([
  ['--help', ['--help'], ['yargs']],
  ['--version', ['--version'], ['yargs']],
  ['sample-data', ['sample-data', '-o', join(folder, 'images'), '--count', '1'], ['jpeg-js', 'yargs']],
  ['sample-data --help', ['sample-data', '--help'], ['jpeg-js', 'yargs']],
])('%s', async (_, args, expected) => {
  expect(await packagesOf(...args)).toEqual(expected);
});

test('the native packages that doctor tries are seen', async () => {
  expect(await packagesOf('doctor')).toEqual(expect.arrayContaining(['koffi', 'sharp']));
});

test('a report needs no library of images', async () => {
  const run = join(folder, 'run');
  mkdirSync(run);
  const line = { time: new Date(0).toISOString(), type: 'train', step: 1, epoch: 0, loss: 1 };
  writeFileSync(join(run, 'log.jsonl'), `${JSON.stringify(line)}\n`);
  const packages = await packagesOf('report', run, '-o', join(folder, 'report.html'));
  expect(packages).toContain('csv-parse');
  expect(packages).not.toContain('sharp');
});
