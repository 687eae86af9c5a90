/** How a terminal shows pictures, by its environment and what it says when it is asked. */
import type { ReadStream, WriteStream } from 'node:tty';
import { createSupportsTerminalGraphics } from 'supports-terminal-graphics';
import type { BlockColours } from '../data/pictures/terminal-picture.js';

export type Way = 'kitty' | 'iterm2' | 'sixel' | 'blocks';

/**
 * The best way that a terminal is known to have; half blocks where none is.
 *
 * @param attributes gives its answer to DA1, which is asked for only where the environment does not tell enough
 */
export async function bestWay(attributes: () => Promise<string>): Promise<Way> {
  const { TERM, TERM_PROGRAM } = process.env;
  if (TERM === 'dumb' || isMultiplexed(process.env)) return 'blocks';
  // Visual Studio Code has pictures where a setting says so, and then it answers that it has sixels
  if (TERM_PROGRAM !== 'vscode') {
    const { kitty, iterm2, sixel } = createSupportsTerminalGraphics();
    if (kitty) return 'kitty';
    if (iterm2) return 'iterm2';
    if (sixel) return 'sixel';
  }
  return hasSixels(await attributes()) ? 'sixel' : 'blocks';
}

/** tmux, GNU screen and Zellij hide the terminal; its variables may be those of a terminal that is long closed. */
function isMultiplexed({ TMUX, STY, ZELLIJ, TERM = '' }: NodeJS.ProcessEnv): boolean {
  return Boolean(TMUX || STY || ZELLIJ) || /^(tmux|screen)/.test(TERM);
}

/** `CSI ? 62 ; 4 ; 22 c`: a class, then what it has, 4 for sixels. */
const attributesForm = /\[\?(\d+(?:;\d+)*)c/; // after an escape

function hasSixels(answer: string): boolean {
  return attributesForm.exec(answer)?.[1]?.split(';').slice(1).includes('4') ?? false;
}

/** Milliseconds that a terminal has to answer, one behind a slow line too. */
const answerTime = 300;

/** What a terminal answers to DA1, nothing where it does not answer in time or is none. */
export async function askAttributes(stdin: ReadStream, stdout: WriteStream): Promise<string> {
  if (!stdin.isTTY || !stdout.isTTY) return '';
  const wasRaw = stdin.isRaw;
  let answer = '';
  stdin.setRawMode(true); // or the answer is printed, and waits for a return
  try {
    await new Promise<void>((resolve) => {
      const end = () => {
        clearTimeout(timer);
        stdin.off('data', hear);
        resolve();
      };
      const hear = (bytes: Buffer) => {
        answer += bytes.toString('latin1');
        if (attributesForm.test(answer) || answer.includes('\u0003')) end();
      };
      const timer = setTimeout(end, answerTime);
      stdin.on('data', hear);
      stdout.write('\u001b[c');
    });
  } finally {
    stdin.setRawMode(wasRaw);
    stdin.pause();
  }
  if (answer.includes('\u0003')) process.kill(process.pid, 'SIGINT'); // raw mode makes no signal of Ctrl-C
  return answer;
}

/** As `COLORTERM` and `TERM` say, none where `NO_COLOR` refuses them. */
export function blockColours({ NO_COLOR, COLORTERM = '', TERM }: NodeJS.ProcessEnv): BlockColours {
  if (NO_COLOR || TERM === 'dumb') return 'none';
  return /^(truecolor|24bit)$/i.test(COLORTERM) ? 'true' : '256';
}
