import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { mae, maeOk, root } from '../support/cli.js';

const commands = [
  'pretrain',
  'finetune',
  'linprobe',
  'reconstruct',
  'embed',
  'predict',
  'export-classifier',
  'evaluate',
  'export-encoder',
  'export',
  'runs',
  'report',
  'log',
  'models',
  'build-artifacts',
  'sample-data',
  'demo',
  'bench',
  'doctor',
];

/** Flags of a command's help: what stands beside each, as one line. */
async function helpOf(command: string): Promise<Map<string, string>> {
  const { stdout } = await maeOk([command, '--help']);
  const parts = stdout.split(/^ +(?:-\w, )?--/m).slice(1);
  return new Map(
    parts.map((part) => {
      const [name, ...rest] = part.trim().split(/\s+/);
      return [name!, rest.join(' ')];
    }),
  );
}

test('mae --help names every command and loads none of them', async () => {
  const times: number[] = [];
  for (let i = 0; i < 3; i++) {
    const start = performance.now();
    const { stdout, stderr } = await maeOk(['--help']);
    times.push(performance.now() - start);
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^ +mae ${command}\\b`, 'm'));
    expect(stderr).toBe('');
  }
  // 0.3 s on an idle machine; loading ONNX Runtime and the decoders would take several times that
  expect(Math.min(...times)).toBeLessThan(1000);
});

test('mae --version is that of package.json', async () => {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  expect((await maeOk(['--version'])).stdout).toBe(`${version}\n`);
});

test.each(commands)('mae %s --help describes each flag', async (command) => {
  const help = await helpOf(command);
  expect(help.has('help')).toBe(true);
  for (const [flag, text] of help) expect(text, flag).toMatch(/^[A-Za-z].{7,}/);
});

test('the flags of pretrain and their defaults', async () => {
  const help = await helpOf('pretrain');
  const defaults: Record<string, string | undefined> = {
    'data-path': undefined,
    rescan: 'false',
    'output-dir': undefined,
    model: '"mae_vit_large_patch16"',
    'input-size': undefined,
    'batch-size': '64',
    'accum-iter': '1',
    recipe: 'auto',
    epochs: 'the recipe’s; published: 800',
    'time-budget': undefined,
    'max-steps': undefined,
    'warmup-epochs': 'the recipe’s; published: 40, or a twentieth of fewer epochs',
    blr: 'the recipe’s; published: 0.00015',
    lr: undefined,
    'min-lr': '0',
    'weight-decay': '0.05',
    'mask-ratio': '0.75',
    'predict-ratio': '1',
    'norm-pix-loss': 'true',
    'crop-scale': 'the recipe’s; published: 0.2',
    'grad-checkpointing': 'false',
    'clip-grad': undefined,
    'exif-rotation': 'true; a run that goes on keeps its own',
    seed: '0',
    'num-workers': 'one a core, at most 8',
    threads: 'one a core that mae may use',
    resume: '"auto"',
    init: undefined,
    'val-path': undefined,
    'probe-path': undefined,
    'probe-val-path': undefined,
    'probe-every': '10',
    'keep-best': undefined,
    'pictures-every': 'about twenty sheets in the run, at most one an epoch',
    'save-every': '1',
    'save-every-steps': undefined,
    keep: '3',
    'log-every': '10',
    'max-bad-steps': '10',
    tensorboard: 'true',
    device: '"cpu"',
    precision: '"auto"',
    kernels: 'true',
    config: undefined,
    'log-format': '"text"',
    'dry-run': 'false',
    'auto-batch': 'false',
  };
  expect([...help.keys()].filter((name) => name !== 'help' && name !== 'version').sort()).toEqual(
    Object.keys(defaults).sort(),
  );
  for (const [flag, wanted] of Object.entries(defaults)) {
    expect(/\[default: (.*?)\]/.exec(help.get(flag)!)?.[1], flag).toBe(wanted);
  }
  for (const flag of ['data-path', 'output-dir']) expect(help.get(flag)).toContain('[required]');
});

test.each<[string, string[]]>([
  [
    'reconstruct',
    [
      'checkpoint',
      'num-heads',
      'decoder-num-heads',
      'output',
      'mask-ratio',
      'seed',
      'fit',
      'exif-rotation',
      'json',
      'threads',
      'device',
    ],
  ],
  ['export-encoder', ['checkpoint', 'output', 'pool', 'format', 'num-heads']],
  ['embed', ['checkpoint', 'pool', 'num-heads']],
  ['export', ['checkpoint', 'format', 'num-heads', 'decoder-num-heads']],
  ['models', ['measure', 'json']],
  ['runs', ['json']],
  [
    'embed',
    [
      'checkpoint',
      'data-path',
      'output',
      'pool',
      'layer',
      'input-size',
      'labels',
      'rescan',
      'batch-size',
    ].concat(['num-workers', 'threads', 'device', 'exif-rotation', 'json']),
  ],
  [
    'evaluate',
    ['checkpoint', 'train-path', 'val-path', 'method', 'shots', 'labels', 'layer', 'seed', 'output'].concat([
      'input-size',
      'rescan',
      'batch-size',
      'num-workers',
      'threads',
      'device',
      'exif-rotation',
      'json',
    ]),
  ],
  [
    'finetune',
    ['checkpoint', 'recipe', 'layer-decay', 'drop-path', 'mixup', 'cutmix', 'rand-augment', 'random-erasing'],
  ],
  ['linprobe', ['checkpoint', 'num-heads', 'pool', 'blr', 'epochs', 'val-path']],
  [
    'predict',
    ['checkpoint', 'top', 'input-size', 'batch-size', 'num-workers', 'threads', 'device', 'json', 'csv'],
  ],
  ['export-classifier', ['checkpoint', 'output', 'format', 'input-size', 'threads', 'device']],
  ['build-artifacts', ['model', 'output', 'batch-size', 'mask-ratio', 'norm-pix-loss', 'input-size']],
  ['sample-data', ['output', 'count', 'seed']],
])('the flags of %s', async (command, wanted) => {
  expect([...(await helpOf(command)).keys()]).toEqual(expect.arrayContaining(wanted));
});

test('--help names the presets, and why the mean is the default', async () => {
  const text = (help: Map<string, string>, flag: string) => help.get(flag)!.replaceAll(/\s+/g, ' ');
  const model = text(await helpOf('pretrain'), 'model');
  expect(model).toMatch(/mae models tells of them.*nano_patch8_64.*tiny_patch16_dec96d1b/);
  const pool = text(await helpOf('export-encoder'), 'pool');
  expect(pool).toMatch(/best for frozen features.*5 to 7 points.*\[default: "mean"\]/);
});

test('reconstruct --help says what a norm-pix picture borrows', async () => {
  const { stdout } = await maeOk(['reconstruct', '--help']);
  const text = stdout.replace(/\s+/g, ' ');
  expect(text).toMatch(/--norm-pix-loss predicts patches without their mean and deviation/);
  expect(text).toMatch(/borrows from the pixels that it should guess/);
});

test.each<[string, string[], RegExp]>([
  ['no command', [], /^mae: Name a command \(mae --help /],
  ['an unknown command', ['pretrein'], /^mae: .*pretrain/],
  ['an unknown flag', ['doctor', '--fast'], /^mae: Unknown option --fast \(mae doctor --help /],
  ['a missing flag', ['pretrain', '--output-dir', 'x'], /^mae: Missing required argument: data-path/],
  [
    'a flag without its value',
    ['sample-data', '-o'],
    /^mae: --output: expected a value after -o, got none$/m,
  ],
  ['an option before the command', ['--json', 'doctor'], /^mae: expected a command first, got --json /],
  [
    'a misspelt option',
    ['pretrain', '--batchsize', '8'],
    /^mae: Unknown option --batchsize; did you mean --batch-size\?/,
  ],
  [
    'one of a command below',
    ['bench', 'step', '--thread', '1'],
    /^mae: Unknown option --thread; did you mean --threads\?/,
  ],
  [
    'a word too many',
    ['doctor', '--', 'extra'],
    /^mae: expected options alone after mae doctor, got "extra"/,
  ],
])('%s is one line', async (_, args, message) => {
  const { code, stdout, stderr } = await mae(args);
  expect(code).toBe(1);
  expect(stdout).toBe('');
  expect(stderr).toMatch(message);
  expect(stderr.trimEnd().split('\n')).toHaveLength(1);
});
