/** Where commands write: never over what they read, over a run, or over something of another kind. */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { beforeAll, describe, expect, test } from 'vitest';
import { mae, maeError, maeOk, maeOneLine, maeScript, startMae } from '../support/cli.js';
import { filesOf, latestFolder, readTensorFile, writeTensorFile } from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, model, pictures, args } = await trainingFiles(16);
const run = join(folder, 'run');
const at = (...names: string[]) => join(folder, ...names);
const photo = at('photo.png');

beforeAll(async () => {
  await maeOk(args(run, { 'max-steps': 2 }));
  copyFileSync(pictures[0], at('photo.jpg'));
  await sharp(pictures[0]).png().toFile(photo);
  linkSync(photo, at('hard-link.png'));
  symlinkSync(photo, at('link.png'));
});

const reconstruct = (output: string, ...given: string[]) => [
  ...['reconstruct', ...(given.length > 0 ? given : [photo]), '--checkpoint', run, '-o', output],
];
const encoder = (output: string, checkpoint = run) => [
  'export-encoder',
  '--checkpoint',
  checkpoint,
  '-o',
  output,
];
const exported = (output: string, format = 'hf', checkpoint = run) => [
  ...['export', '--checkpoint', checkpoint, '--format', format, '-o', output],
];
const artifacts = (output: string, ...more: string[]) => [
  ...['build-artifacts', '--model', model, '--batch-size', '2', '-o', output, ...more],
];

test('what would be lost is refused, and nothing is changed', async () => {
  await maeOk(exported(at('hf')));
  await maeOk(exported(at('timm'), 'timm'));
  await maeOk(artifacts(at('graphs')));
  mkdirSync(at('foreign', 'dead-leaves'), { recursive: true });
  writeFileSync(at('foreign', 'config.json'), '{"a server": 1}');
  writeFileSync(at('foreign', 'manifest.json'), '{"a web page": 1}');
  copyFileSync(photo, at('foreign', 'dead-leaves', 'dead-leaves-00001.jpg'));
  mkdirSync(at('weights'));
  copyFileSync(join(latestFolder(run), 'model.safetensors'), at('weights', 'model.safetensors'));
  const before = filesOf(folder);
  const sample = (output: string) => ['sample-data', '-o', output, '--count', '1'];
  const rows: [string[], RegExp][] = [
    [exported(run), /got a run directory/],
    [exported(latestFolder(run)), /got a checkpoint/],
    [exported(join(run, 'checkpoints', 'export')), /got one in .*checkpoints of a run/],
    [exported(at('hf'), 'timm'), /got an export as hf/],
    [exported(at('timm'), 'hf'), /got an export as timm/],
    [exported(at('hf'), 'hf', at('hf')), /a file that is not read/],
    [exported(at('foreign')), /files that mae export did not write/],
    [exported(at('weights'), 'mae'), /files that mae export did not write/],
    [reconstruct(photo), /a file that is not read/],
    [reconstruct(at('link.png')), /a file that is not read/],
    [reconstruct(at('hard-link.png')), /a file that is not read/],
    [reconstruct(at('photo.jpg')), /got a file of something else/],
    [reconstruct(at('hf')), /ends in/],
    [encoder(join(latestFolder(run), 'model.safetensors')), /a file that is not read/],
    [
      encoder(join(latestFolder(run), 'optimizer.safetensors')),
      /a file of your own at .*, got one that .*step-2 needs/,
    ],
    [encoder(join(latestFolder(run), 'encoder.onnx')), /got one in .*checkpoints of a run/],
    [encoder(at('weights', 'model.safetensors')), /a file of something else/],
    [[...encoder(join(run, 'log.jsonl')), '--format', 'onnx'], /one that .*run needs/],
    [[...encoder(at('hf', 'config.json'), at('hf')), '--format', 'onnx'], /a file that is not read/],
    [[...encoder('/dev/null'), '--format', 'onnx'], /got a device/],
    [args(join(latestFolder(run), 'run')), /got one in .*checkpoints of a run/],
    [args(photo), /expected a folder at .*photo\.png, got a file; give/],
    [args(join(photo, 'run')), /expected a folder at .*run, got a file at .*photo\.png; give/],
    [args(at('hf')), /hf\/config\.json: expected the config\.json of a run/],
    [artifacts(run), /got a run directory/],
    [artifacts(join(run, 'artifacts')), /got one in .*artifacts of a run/],
    [artifacts(at('foreign')), /a manifest\.json of something else/],
    [artifacts(at('graphs'), '--runtime', 'onnxruntime-training'), /artefacts for the same --runtime/],
    [sample(run), /got a run directory/],
    [sample(at('foreign')), /got a file of something else/],
  ];
  for (const [command, message] of rows) expect(await maeError(command), command.join(' ')).toMatch(message);
  expect(filesOf(folder)).toEqual(before);
}, 120_000);

test('the same over the same is fine, and a folder is made everywhere', async () => {
  for (const command of [
    exported(at('new', 'a', 'hf')),
    encoder(at('new', 'b', 'encoder.safetensors')),
    encoder(at('new', 'c', 'encoder.onnx')),
    artifacts(at('new', 'd', 'graphs')),
    ['sample-data', '-o', at('new', 'e', 'images'), '--count', '3'],
    reconstruct(at('new', 'f', 'picture.png')),
    reconstruct(join(run, 'picture.png')),
  ]) {
    await maeOk(command);
    await maeOk(command);
  }
  const left = readdirSync(at('new'), { recursive: true }).filter((name) => String(name).includes('tmp'));
  expect(left).toEqual([]);
}, 120_000);

test('a signal leaves nothing of what was being written', async () => {
  const output = at('signalled');
  const running = startMae([
    ...['build-artifacts', '--model', 'mae_vit_huge_patch14', '--runtime', 'onnxruntime-training'],
    ...['--batch-size', '1', '-o', output],
  ]);
  // the last of its files has 2.6 GB
  while (!existsSync(join(output, 'checkpoint'))) await new Promise((resolve) => setTimeout(resolve, 20));
  running.kill('SIGTERM');
  expect((await running.ended).code).toBe(143);
  const made = ['checkpoint', 'eval_model.onnx', 'optimizer_model.onnx', 'training_model.onnx'];
  expect(readdirSync(output).sort()).toEqual(made);
}, 60_000);

describe('the ending decides', () => {
  test('export-encoder', async () => {
    await maeOk(encoder(at('e.safetensors')));
    expect(readTensorFile(at('e.safetensors')).metadata['mae.pool']).toBe('mean');
    expect(await maeOneLine([...encoder(at('e2.safetensors')), '--format', 'onnx'])).toMatch(
      /^--format: expected safetensors, as .*e2\.safetensors ends, got onnx/,
    );
    expect(await maeOneLine(encoder(at('encoder')))).toMatch(
      /ends in \.onnx or \.safetensors, got .*or give --format/,
    );
    await maeOk([...encoder(at('encoder')), '--format', 'safetensors']);
  });

  test.each([
    ['jpg', 'jpeg'],
    ['webp', 'webp'],
    ['png', 'png'],
  ])('reconstruct -o out.%s', async (ending, format) => {
    await maeOk(reconstruct(at(`out.${ending}`)));
    expect((await sharp(at(`out.${ending}`)).metadata()).format).toBe(format);
  });

  test('reconstruct -o out.gif is refused before the model is read', async () => {
    const command = ['reconstruct', photo, '--checkpoint', at('nowhere'), '-o', at('out.gif')];
    expect(await maeOneLine(command)).toMatch(/nowhere|ends in \.png, \.jpg, \.jpeg, \.webp, got/);
    expect(await maeOneLine(reconstruct(at('out.gif')))).toMatch(/ends in \.png, \.jpg, \.jpeg, \.webp, got/);
  });
});

describe('reconstruct', () => {
  test('a missing and a damaged picture of many: the others are done', async () => {
    writeFileSync(at('bad.jpg'), 'no picture');
    const given = [pictures[0], at('nowhere.jpg'), at('bad.jpg'), pictures[1]!];
    const { code, stdout, stderr } = await mae([...reconstruct(at('many.png'), ...given), '--json']);
    expect(code).toBe(1);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.map(({ image }) => image)).toEqual([pictures[0], pictures[1]]);
    expect(stderr).toContain('nowhere.jpg');
    expect(stderr).toContain('bad.jpg');
    expect(stderr).toMatch(/^mae: 2 of 4 images are not in .*many\.png$/m);
    expect((await sharp(at('many.png')).metadata()).height).toBe(2 * (192 + 8) + 8);
    // the place among those given decides a mask, so that what is left out changes no other
    const whole = await maeOk([
      ...reconstruct(at('whole.png'), ...given.with(1, photo).with(2, photo)),
      '--json',
    ]);
    const losses = whole.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).loss);
    expect(lines.map(({ loss }) => loss)).toEqual([losses[0], losses[3]]);
  });

  test('all of them bad: one line, and no picture', async () => {
    const command = reconstruct(at('none.png'), at('bad.jpg'), at('nowhere.jpg'));
    expect(await maeOneLine(command)).toMatch(/none of 2 images is left; the first: .*bad\.jpg/);
    expect(existsSync(at('none.png'))).toBe(false);
  });

  test('what is no file is said at once, and a name may begin with a dash', async () => {
    execFileSync('mkfifo', [at('pipe.jpg'), at('pipe.safetensors'), at('pipe.json')]);
    const rows: [string[], RegExp][] = [
      [reconstruct(at('no.png'), at('pipe.jpg')), /pipe\.jpg to be a file, got a pipe/],
      [reconstruct(at('no.png'), '/dev/zero'), /\/dev\/zero to be a file, got a device/],
      [reconstruct(at('no.png'), '-'), /got -; standard input is not read: give a file/],
      [encoder(at('no.onnx'), at('pipe.safetensors')), /got a pipe/],
      [encoder(at('no.onnx'), '/dev/zero'), /got a device/],
      [['build-artifacts', '--model', at('pipe.json'), '-o', at('no')], /^--model: .* got a pipe/],
    ];
    for (const [command, message] of rows)
      expect(await maeOneLine(command), command.join(' ')).toMatch(message);
    copyFileSync(photo, at('-dash.png'));
    const { stdout } = await maeOk(
      ['reconstruct', '--checkpoint', run, '-o', 'dash-out.png', '--', '-dash.png'],
      { cwd: folder },
    );
    expect(stdout).toContain('-dash.png  loss');
  });
});

test('NaN in weights is said by each command, with the tensor', async () => {
  const { metadata, tensors } = readTensorFile(join(latestFolder(run), 'model.safetensors'));
  tensors.get('blocks.0.norm1.weight')!.data[3] = Number.NaN;
  tensors.get('norm.bias')!.data.fill(Number.POSITIVE_INFINITY);
  writeTensorFile(at('nan.safetensors'), { metadata, tensors });
  for (const command of [
    ['reconstruct', photo, '--checkpoint', at('nan.safetensors'), '-o', at('nan.png')],
    encoder(at('nan.onnx'), at('nan.safetensors')),
    exported(at('nan'), 'hf', at('nan.safetensors')),
  ]) {
    expect(await maeOneLine(command)).toMatch(
      /got NaN or infinity \(1 of 24 in blocks\.0\.norm1\.weight, 24 of 24 in norm\.bias\); .*earlier checkpoint/,
    );
  }
  const { code, stderr } = await mae(args(at('nan-run'), { init: at('nan.safetensors') }));
  expect([code, stderr]).toEqual([1, expect.stringContaining('1 of 24 in blocks.0.norm1.weight')]);
});

test.runIf(process.platform === 'linux')(
  'places that take no file are named by their true reason',
  async () => {
    const rows: [string, RegExp][] = [
      ['/proc/mae/x', /got ENOENT|got EPERM|got EACCES/],
      [join(photo, 'x'), /got (ENOTDIR; a part of this path is a file|a file at .*photo\.png; give)/],
    ];
    for (const [place, message] of rows) {
      for (const command of [
        exported(place),
        encoder(`${place}/e.onnx`),
        reconstruct(`${place}/p.png`),
        artifacts(place),
        ['sample-data', '-o', place, '--count', '1'],
      ]) {
        expect(await maeOneLine(command), command.join(' ')).toMatch(message);
      }
    }
    // a limit of the shell's on the size of files, in blocks of 512 bytes
    const shell = [
      '-c',
      'ulimit -f 20; exec "$0" "$@"',
      process.execPath,
      maeScript,
      ...encoder(at('large.onnx')),
    ];
    const { status, stderr } = spawnSync('sh', shell, { encoding: 'utf8' });
    expect([status, stderr]).toEqual([1, expect.stringMatching(/got EFBIG; .*ulimit -f/)]);
    expect(readdirSync(folder).filter((name) => name.startsWith('.') || name.startsWith('large'))).toEqual(
      [],
    );
    expect(readFileSync(photo).length).toBeGreaterThan(0);
  },
);
