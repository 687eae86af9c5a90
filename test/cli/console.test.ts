import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { maeOk, maeOneLine, startMae } from '../support/cli.js';
import { flags, pretrainArgs, readLog } from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, images, model, newRun } = await trainingFiles(24);
const given = { 'data-path': images, 'val-path': images, model };
const run = join(folder, "a run's folder");
let stderr: string;

beforeAll(async () => {
  ({ stderr } = await maeOk(pretrainArgs({ ...given, 'output-dir': run })));
});

/** What a summary says to try, as words. */
function nextCommands(text: string): string[][] {
  const [, commands] = /^next:\n((?: {2}mae .*\n)+)/m.exec(text)!;
  return commands!
    .trim()
    .split('\n')
    .map((line) =>
      [...line.matchAll(/'(?:[^']|'\\'')*'|\S+/g)].map(([word]) =>
        word.startsWith("'") ? word.slice(1, -1).replaceAll("'\\''", "'") : word,
      ),
    );
}

describe('a run', () => {
  test('logs the losses of guesses once, before its first step, and tells them', async () => {
    const types = readLog(run).map(({ type }) => type);
    expect(types.slice(0, types.indexOf('train'))).toEqual(['start', 'guesses', 'pictures']);
    const [guesses] = readLog(run, 'guesses');
    const [mean, colour] = [guesses!['mean'] as number, guesses!['colour'] as number];
    expect(mean).toBeGreaterThan(0.9);
    expect(colour).toBeLessThan(mean);
    expect(stderr).toContain(`losses of guesses: ${mean.toFixed(4)} the mean everywhere`);
    expect(stderr).toMatch(/^epoch 1 {2}mean loss .*\(guesses: the mean /m);

    const parts = newRun();
    await maeOk(pretrainArgs({ ...given, 'output-dir': parts, 'max-steps': 4 }));
    const rest = await maeOk(pretrainArgs({ ...given, 'output-dir': parts }));
    expect(readLog(parts, 'guesses')).toMatchObject([{ mean, colour }]);
    expect(rest.stderr).toMatch(/^epoch 2 {2}mean loss .*\(guesses: the mean /m);
  });

  test('ends with its best result, the time, and commands that work as they stand', async () => {
    const best = Math.min(...readLog(run, 'val').map(({ loss }) => loss as number));
    expect(stderr).toContain(`\nbest validation loss ${best.toFixed(4)} at step `);
    expect(stderr).toMatch(/^took \S+; weights, log\.jsonl and config\.json are in .*a run's folder$/m);
    const [evaluate, reconstruct] = nextCommands(stderr);
    expect(evaluate!.slice(0, 2)).toEqual(['mae', 'evaluate']);
    await maeOk([...evaluate!.slice(1), '--num-workers', '0', '--shots', '1']);
    expect(reconstruct!.slice(0, 2)).toEqual(['mae', 'reconstruct']);
    await maeOk(reconstruct!.slice(1));
    expect(existsSync(`${run}.png`)).toBe(true);
  });

  test('of a classifier tells what to try with one', async () => {
    const out = newRun();
    const shared = { 'data-path': images, 'val-path': images, 'output-dir': out, checkpoint: run };
    const few = { epochs: 1, 'batch-size': 8, threads: 1, 'num-workers': 0 };
    const ended = await maeOk(['linprobe', ...flags({ ...shared, ...few })]);
    expect(ended.stderr).toMatch(/^best top-1 \d+\.\d\d %: .*step-3$/m);
    const [predict, exported] = nextCommands(ended.stderr);
    expect((await maeOk(predict!.slice(1))).stdout.trim().split('\n')).toHaveLength(24);
    await maeOk(exported!.slice(1));
    expect(existsSync(`${out}.onnx`)).toBe(true);
  });
});

describe('--log-format json', () => {
  test('has the lines of log.jsonl on stdout, byte for byte, and messages of the same form', async () => {
    const out = newRun();
    const json = { ...given, 'output-dir': out, 'log-format': 'json' };
    const { stdout, stderr } = await maeOk(pretrainArgs(json));
    expect(stderr).toBe('');
    const lines = stdout.split(/(?<=\n)/);
    const types = lines.map((line) => JSON.parse(line).type);
    const logged = lines.filter((_, i) => types[i] !== 'message');
    expect(logged.join('')).toBe(readFileSync(join(out, 'log.jsonl'), 'utf8'));
    for (const line of lines) {
      const { level, time } = JSON.parse(line);
      expect([level, new Date(time).toISOString()]).toEqual(['info', time]);
    }
    expect(types).toContain('message');
    expect(JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')).options).not.toHaveProperty(
      'log-format',
    );
  });

  test('a signal is told as a message, and another format is refused', async () => {
    const out = newRun();
    const endless = { ...given, 'output-dir': out, epochs: 1_000_000, 'save-every': 1_000_000 };
    const running = startMae(pretrainArgs({ ...endless, 'val-path': undefined, 'log-format': 'json' }));
    await new Promise<void>((done) => {
      running.child.stdout!.on('data', (text: string) => text.includes('"train"') && done());
    });
    running.kill('SIGTERM');
    const { code, stdout } = await running.ended;
    expect(code).toBe(143);
    const texts = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).text as string | undefined);
    expect(texts.find((text) => text?.startsWith('SIGTERM: finishing the step'))).toBeDefined();
    const message = await maeOneLine(pretrainArgs({ ...endless, 'log-format': 'xml' }));
    expect(message).toBe('--log-format: expected one of text, json, got "xml"');
  });
});
