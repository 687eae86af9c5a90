/** What a terminal is, as far as it is used here: `process.stderr`, for example. */
export interface Terminal {
  readonly columns?: number;
  write(text: string): unknown;
}

/**
 * The last line of a terminal, written over and over, with other lines above it. It is never as wide as the terminal:
 * no terminal then breaks it, and lines above it break as the terminal breaks them.
 */
export class StatusLine {
  readonly #terminal: Terminal;
  #text = '';

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
  }

  get columns(): number {
    return this.#terminal.columns || 80;
  }

  show(text: string): void {
    const erased = this.#erase();
    this.#text = text.slice(0, Math.max(1, this.columns - 1));
    this.#terminal.write(`${erased}${this.#text}`);
  }

  /** A line above it. */
  log(line: string): void {
    this.#terminal.write(`${this.#erase()}${line}\n${this.#text}`);
  }

  /** Leaves the line where it is and goes below it. */
  end(): void {
    if (this.#text !== '') this.#terminal.write('\n');
    this.#text = '';
  }

  /**
   * To its beginning: carriage return, ED. Of a line that a narrower terminal has broken the first piece stays: some
   * break it and some cut it, and going up could take away a line that was to be read.
   */
  #erase(): string {
    return this.#text === '' ? '' : '\r\u001b[J';
  }
}

/** Whether escape sequences may be written: a terminal that knows them, of a person who does not refuse them. */
export function takesEscapes(stream: { readonly isTTY?: boolean }, environment: NodeJS.ProcessEnv): boolean {
  const { TERM, NO_COLOR, CI } = environment;
  return Boolean(stream.isTTY) && TERM !== 'dumb' && !NO_COLOR && (!CI || CI === 'false');
}
