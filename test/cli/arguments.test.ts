import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { checkArguments, withoutDashes } from '../../src/cli/arguments.js';
import { integer, number } from '../../src/cli/flags.js';
import { pretrainFlags } from '../../src/cli/pretrain-flags.js';
import { mae, maeOk, maeOneLine } from '../support/cli.js';

describe('checkArguments', () => {
  const check = (...args: string[]) =>
    checkArguments(['pretrain', ...args], 'pretrain', pretrainFlags, false);

  test.each<[string, string[], string]>([
    ['--epochs', ['--epochs', '5', '--epochs', '1'], '--epochs 5 and --epochs 1'],
    ['--lr', ['--lr=1', '--lr', '1'], '--lr=1 and --lr 1'],
    ['--batch-size', ['--batch-size', '8', '--batchSize', '1'], '--batch-size 8 and --batchSize 1'],
    ['--kernels', ['--kernels', '--no-kernels'], '--kernels and --no-kernels'],
    [
      '--norm-pix-loss',
      ['--no-norm-pix-loss', '--no-normPixLoss'],
      '--no-norm-pix-loss and --no-normPixLoss',
    ],
    ['--dry-run', ['--dry-run', '--dryRun=false'], '--dry-run and --dryRun=false'],
  ])('%s is given once', (flag, args, both) => {
    expect(() => check(...args)).toThrow(`${flag}: expected once, got ${both}`);
  });

  test.each<[string[], RegExp]>([
    [['--lr.x', '5'], /Unknown option --lr\.x; did you mean --lr\?/],
    [['--no-epochs'], /Unknown option --no-epochs; did you mean --epochs\?/],
    [['--kernels=maybe'], /--kernels: expected --kernels or --no-kernels, got --kernels=maybe/],
    [['--no-kernels=true'], /--kernels: expected --kernels or --no-kernels, got --no-kernels=true/],
    [['--data-path', '--epochs', '3'], /--data-path: expected a value, got --epochs; .*--data-path=--epochs/],
    [['--data-path', '-x'], /--data-path: .*--data-path=-x/],
    [['--epochs'], /--epochs: expected a value after --epochs, got none/],
    [['--', 'photos'], /expected options alone after mae pretrain, got "photos"/],
  ])('%j is refused', (args, message) => {
    expect(() => check(...args)).toThrow(message);
  });

  test('what is right passes', () => {
    check(
      '--lr',
      '-1',
      '--data-path=-x',
      '--no-kernels',
      '--dry-run',
      'false',
      '--init',
      'true',
      '--batchSize',
      '3',
    );
    check('--help', '--nonsense', '--epochs', '1', '--epochs', '1');
  });
});

test.each([
  ['5', 5],
  ['5.0', 5],
  ['1e3', 1000],
  ['1.5e1', 15],
  ['010', 10],
  ['9007199254740991', 9007199254740991],
])('%s is the whole number %d', (text, value) => {
  expect(integer('n')(text)).toBe(value);
});

test.each([
  '1.5',
  '0x10',
  '0b1',
  '1e-1',
  '15e-1',
  '9007199254740993',
  '9007199254740991.4',
  '',
  ' ',
  'Infinity',
  '1_000',
  '5,0',
])('"%s" is no whole number', (text) => {
  expect(() => integer('n')(text)).toThrow(/^--n: expected a whole number/);
});

test('a number is the one that was typed, or refused', () => {
  expect(number('n')('-.5e-3')).toBe(-0.0005);
  for (const text of ['1e-400', '1e400', '0x1p3', 'NaN', '5px']) {
    expect(() => number('n')(text), text).toThrow(/^--n: expected a number/);
  }
});

test('what stands after -- is a file, whatever it begins with', () => {
  expect(withoutDashes(['reconstruct', '-o', 'x', '--', '-a.jpg', 'b.jpg', '--', '-'])).toEqual([
    'reconstruct',
    '-o',
    'x',
    './-a.jpg',
    'b.jpg',
    './--',
    './-',
  ]);
});

describe('mae', () => {
  const folder = mkdtempSync(join(tmpdir(), 'mae-arguments-'));
  afterAll(() => rmSync(folder, { recursive: true }));

  test('an option given twice ends every command', async () => {
    for (const args of [
      ['sample-data', '-o', join(folder, 'a'), '--output', join(folder, 'b')],
      ['bench', 'step', '--threads', '1', '--threads', '1'],
      ['build-artifacts', '-o', folder, '--seed', '1', '--seed', '1'],
    ]) {
      expect(await maeOneLine(args)).toMatch(/^--(output|threads|seed): expected once, got /);
    }
  });

  test('package.json of the folder and the language of the system change nothing', async () => {
    writeFileSync(join(folder, 'package.json'), '{"yargs":{"parse-numbers":true,"dot-notation":true}}');
    const place = { cwd: folder, env: { LANG: 'de_DE.UTF-8', LC_ALL: 'de_DE.UTF-8' } };
    expect((await mae([], place)).stderr).toMatch(/^mae: Name a command/);
    expect(await maeOneLine(['sample-data'], place)).toMatch(/^Missing required argument: output/);
    expect(await maeOneLine(['sample-data', '-o', 'x', '--count.a', '1'], place)).toMatch(
      /^Unknown option --count\.a/,
    );
  });

  test('control characters of what was given are escaped', async () => {
    const { stderr, stdout } = await mae(['sample-data', '-o', 'x', '--count', 'a\u001b[31mb\u202ec']);
    for (const raw of ['\u001b', '\u202e']) expect(stdout + stderr).not.toContain(raw);
    const { stdout: wrote } = await maeOk(['sample-data', '-o', join(folder, 'n\n\u009b1m'), '--count', '1']);
    expect(wrote).toBe(`1 images in ${join(folder, 'n')}\\n\\u009b1m\n`);
  });

  describe('--config', () => {
    const write = (name: string, text: string | Uint8Array): string => {
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const given = (path: string): string[] => [
      'pretrain',
      '--data-path',
      'x',
      '--output-dir',
      'y',
      '--config',
      path,
    ];

    test.each<[string, RegExp]>([
      ['{"epochs":"5"}', /^--epochs: expected a number in .*, got "5"$/],
      ['{"epochs":null}', /^--epochs: expected a number in .*, got null$/],
      ['{"epochs":[1,2]}', /^--epochs: expected a number in .*, got \[1,2\]$/],
      ['{"resume":5}', /^--resume: expected text in .*, got 5$/],
      ['{"kernels":"no"}', /^--kernels: expected true or false in .*, got "no"$/],
      ['{"batchSize":3}', /unknown option "batchSize"; did you mean "batch-size"\?/],
      ['[]', /^--config: expected a JSON object of options in /],
      ['', /^--config: expected a JSON file at .*, got an empty file$/],
    ])('%s is refused for what it is', async (text, message) => {
      expect(await maeOneLine(given(write('config.json', text)))).toMatch(message);
    });

    test('a folder, a pipe and nothing at all are', async () => {
      expect(await maeOneLine(given(folder))).toMatch(/^--config: expected a JSON file at .*, got a folder$/);
      expect(await maeOneLine(given(join(folder, 'none.json')))).toMatch(
        /^--config: expected a JSON file at .*none\.json, got nothing there/,
      );
      if (process.platform === 'win32') return;
      expect(await maeOneLine(given('/dev/zero'))).toMatch(
        /^--config: expected a JSON file at \/dev\/zero, got a device or pipe$/,
      );
    });

    test('a byte order mark is no part of it', async () => {
      // an option of the file that is refused shows that it was read
      const utf8 = write('utf8.json', '\ufeff{"epochs":0}');
      const utf16 = write('utf16.json', Buffer.from('\ufeff{"epochs":0}', 'utf16le'));
      for (const path of [utf8, utf16]) expect(await maeOneLine(given(path))).toMatch(/^--epochs: .*got 0$/);
      const model = write('model.json', '\ufeff{}');
      const args = ['build-artifacts', '-o', join(folder, 'never'), '--model', model];
      expect(await maeOneLine(args)).toMatch(/model\.json: expected "inputSize"/);
    });
  });
});
