/** `--show`: which way a terminal is shown a picture, and the command with it. */
import { EventEmitter } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { ReadStream, WriteStream } from 'node:tty';
import sharp from 'sharp';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { shrunk } from '../../src/cli/show.js';
import { askAttributes, bestWay, blockColours } from '../../src/cli/terminal-graphics.js';
import { maeOk, maeOneLine } from '../support/cli.js';
import { trainingFiles } from '../support/training-files.js';

afterEach(() => vi.unstubAllEnvs());

/** What says something of a terminal. */
const variables = [
  ...['TERM', 'TERM_PROGRAM', 'TERM_PROGRAM_VERSION', 'LC_TERMINAL', 'KITTY_WINDOW_ID', 'KITTY_PID'],
  ...['GHOSTTY_RESOURCES_DIR', 'WEZTERM_PANE', 'WEZTERM_UNIX_SOCKET', 'KONSOLE_VERSION', 'VTE_VERSION'],
  ...['TMUX', 'STY', 'ZELLIJ'],
];

describe('the way', () => {
  const sixels = '\u001b[?62;4;22c';
  const none = '\u001b[?1;2c';
  test.each<[string, Record<string, string>, string, string]>([
    ['kitty', { TERM: 'xterm-kitty', KITTY_WINDOW_ID: '1' }, '', 'kitty'],
    ['kitty over ssh', { TERM: 'xterm-kitty' }, '', 'kitty'],
    ['Ghostty', { TERM: 'xterm-ghostty' }, '', 'kitty'],
    ['WezTerm', { TERM_PROGRAM: 'WezTerm', TERM: 'xterm-256color' }, '', 'kitty'],
    ['iTerm2', { TERM_PROGRAM: 'iTerm.app', TERM_PROGRAM_VERSION: '3.4.0' }, '', 'iterm2'],
    ['iTerm2 over ssh', { LC_TERMINAL: 'iTerm2', TERM: 'xterm-256color' }, '', 'iterm2'],
    ['mintty', { TERM_PROGRAM: 'mintty' }, '', 'iterm2'],
    ['one that says it has sixels', { TERM: 'xterm-256color' }, sixels, 'sixel'],
    ['foot', { TERM: 'foot' }, sixels, 'sixel'],
    ['one that has none', { TERM: 'xterm-256color', VTE_VERSION: '7600' }, none, 'blocks'],
    ['one of class 4', { TERM: 'xterm' }, '\u001b[?4;22c', 'blocks'],
    ['one that says nothing', { TERM: 'xterm' }, '', 'blocks'],
    [
      'Visual Studio Code with pictures',
      { TERM_PROGRAM: 'vscode', TERM_PROGRAM_VERSION: '1.99.0' },
      sixels,
      'sixel',
    ],
    ['and without', { TERM_PROGRAM: 'vscode', TERM_PROGRAM_VERSION: '1.99.0' }, none, 'blocks'],
    ['a dumb one', { TERM: 'dumb', KITTY_WINDOW_ID: '1' }, sixels, 'blocks'],
    [
      'tmux in kitty',
      { TMUX: '/tmp/tmux-0/default,1,0', KITTY_WINDOW_ID: '1', TERM: 'tmux-256color' },
      sixels,
      'blocks',
    ],
    ['tmux over ssh', { TERM: 'tmux-256color', LC_TERMINAL: 'iTerm2' }, sixels, 'blocks'],
    ['GNU screen', { STY: '1.tty', TERM: 'xterm', TERM_PROGRAM: 'iTerm.app' }, sixels, 'blocks'],
    ['Zellij', { ZELLIJ: '0', TERM: 'xterm-kitty' }, sixels, 'blocks'],
  ])('of %s', async (_, environment, answer, wanted) => {
    for (const name of variables) vi.stubEnv(name, environment[name]);
    expect(await bestWay(async () => answer)).toBe(wanted);
  });

  test('its colours', () => {
    const rows: [NodeJS.ProcessEnv, string][] = [
      [{ COLORTERM: 'truecolor' }, 'true'],
      [{ COLORTERM: '24bit', TERM: 'xterm' }, 'true'],
      [{ TERM: 'xterm-256color' }, '256'],
      [{ COLORTERM: 'truecolor', NO_COLOR: '1' }, 'none'],
      [{ COLORTERM: 'truecolor', NO_COLOR: '' }, 'true'],
      [{ COLORTERM: 'truecolor', TERM: 'dumb' }, 'none'],
    ];
    for (const [environment, wanted] of rows) expect(blockColours(environment)).toBe(wanted);
  });
});

/** A terminal that answers as it is told, and remembers how it was asked. */
class FakeTerminal extends EventEmitter {
  readonly isTTY = true;
  isRaw = false;
  readonly calls: string[] = [];
  readonly #answers: readonly string[];

  constructor(...answers: string[]) {
    super();
    this.#answers = answers;
  }

  setRawMode(isRaw: boolean): void {
    this.isRaw = isRaw;
    this.calls.push(`raw ${isRaw}`);
  }

  write(text: string): void {
    this.calls.push(text);
    for (const answer of this.#answers) setImmediate(() => this.emit('data', Buffer.from(answer)));
  }

  pause(): void {
    this.calls.push('pause');
  }
}

const ask = (terminal: object) => askAttributes(terminal as ReadStream, terminal as WriteStream);

describe('a terminal that is asked', () => {
  const asked = ['raw true', '\u001b[c', 'raw false', 'pause'];
  test('answers, in pieces too', async () => {
    const terminal = new FakeTerminal('\u001b[?6', '2;4c');
    expect(await ask(terminal)).toBe('\u001b[?62;4c');
    expect(terminal.calls).toEqual(asked);
    expect(terminal.listenerCount('data')).toBe(0);
  });

  test('need not answer', async () => {
    const terminal = new FakeTerminal();
    expect(await ask(terminal)).toBe('');
    expect(terminal.calls).toEqual(asked);
    expect(terminal.listenerCount('data')).toBe(0);
  });

  test('is no file', async () => {
    expect(await ask({ isTTY: undefined })).toBe('');
  });

  test('may be left by Ctrl-C', async () => {
    const kill = vi.spyOn(process, 'kill').mockReturnValue(true);
    const terminal = new FakeTerminal('\u0003');
    await ask(terminal);
    expect(kill.mock.calls).toEqual([[process.pid, 'SIGINT']]);
    expect(terminal.calls).toEqual(asked);
    kill.mockRestore();
  });
});

test('a picture that is narrow enough stays as it is, another is made narrower in its shape', () => {
  const picture = { width: 100, height: 30, data: new Uint8Array(100 * 30 * 3).fill(77) };
  expect(shrunk(picture, 100)).toBe(picture);
  expect(shrunk(picture, 250)).toBe(picture);
  const small = shrunk(picture, 33.9);
  expect([small.width, small.height]).toEqual([33, 10]);
  expect(small.data.every((value) => value === 77)).toBe(true);
  expect(shrunk(picture, 0)).toMatchObject({ width: 1, height: 1 });
});

describe('mae reconstruct --show', async () => {
  const { folder, pictures, args } = await trainingFiles(8);
  const run = join(folder, 'run');
  const output = join(folder, 'out.png');
  const command = (...more: string[]) => [
    ...['reconstruct', pictures[0], '--checkpoint', run, '-o', output],
    ...more,
  ];
  beforeAll(() => maeOk(args(run, { 'max-steps': 1 })));

  test('=kitty prints the picture of the file before the results', async () => {
    const { stdout } = await maeOk(command('--show=kitty'), { env: { COLUMNS: '40' } });
    const end = stdout.lastIndexOf('\u001b\\');
    expect(stdout.slice(end + 2)).toMatch(/^\n.* {2}loss \d\.\d+\nwrote .*\n$/);
    expect(stdout).toContain('c=40,');
    const base64 = stdout
      .slice(0, end)
      .split('\u001b\\')
      .map((piece) => piece.split(';')[1]!);
    const shown = await sharp(Buffer.from(base64.join(''), 'base64'))
      .raw()
      .toBuffer();
    expect(shown.equals(await sharp(output).raw().toBuffer())).toBe(true);
  });

  test('=blocks is as wide as COLUMNS says, and of characters alone under NO_COLOR', async () => {
    const env = { COLUMNS: '30', NO_COLOR: '1', TERM: 'xterm' };
    const { stdout } = await maeOk(command('--show=blocks'), { env });
    const lines = stdout.split('\n').slice(0, -3);
    // 808 × 208 pixels become 30 × 8
    expect(lines).toHaveLength(4);
    expect(Math.max(...lines.map((line) => line.length))).toBe(30);
    expect(stdout).not.toContain('\u001b');
  });

  test('without a terminal, and what does not go together, is one line, and nothing is written', async () => {
    const other = join(folder, 'other.png');
    const rows: [string[], RegExp][] = [
      [['--show'], /^--show: expected a terminal on standard output, got a file or a pipe; --show=blocks/],
      [['--show=blocks', '--json'], /^--show: expected --show or --json, got both/],
      [['--show=png'], /^--show: expected one of auto, kitty, iterm2, sixel, blocks, got "png"/],
      [['--show', '--show=kitty'], /^--show: expected once/],
    ];
    for (const [flags, message] of rows)
      expect(
        await maeOneLine(['reconstruct', pictures[0], '--checkpoint', run, '-o', other, ...flags]),
      ).toMatch(message);
    // the word behind it is an image
    expect(await maeOneLine(['reconstruct', '--show', pictures[0], '--checkpoint', run])).toMatch(
      /^--show: .*terminal/,
    );
    expect(existsSync(other)).toBe(false);
  });
});
