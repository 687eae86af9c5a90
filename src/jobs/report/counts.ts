import type { Counted } from '../../page/report-data.js';

/** Reasons that are told apart, and examples of each. */
const mostReasons = 50;
const mostExamples = 5;
const otherReasons = 'other reasons';

/** How often each reason came, with examples. */
export class Counts {
  readonly #counted = new Map<string, { count: number; examples: string[] }>();

  add(reason: string, example: string): void {
    const isKnown = this.#counted.has(reason) || this.#counted.size < mostReasons;
    const name = isKnown ? reason : otherReasons;
    const counted = this.#counted.get(name) ?? { count: 0, examples: [] };
    this.#counted.set(name, counted);
    counted.count++;
    if (example !== '' && counted.examples.length < mostExamples) counted.examples.push(example);
  }

  /** The most common first. */
  list(): Counted[] {
    return [...this.#counted]
      .map(([reason, { count, examples }]) => ({ reason, count, examples }))
      .sort((a, b) => b.count - a.count);
  }
}
