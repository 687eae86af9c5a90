import { join } from 'node:path';
import { UserError } from '../util/errors.js';
import { writeTextAtomically } from '../weights/checkpoint/durable-files.js';

/** A step whose loss or gradient norm is no finite number. */
export interface BadStep {
  readonly step: number;
  readonly loss: number;
  readonly gradientNorm: number;
  /** What the loss was multiplied by, in float16. */
  readonly lossScale?: number | undefined;
}

/**
 * Counts bad steps in a row. The optimizer does not run in them, so the weights stay as they are: a batch that is to
 * blame comes alone, weights that are to blame make every step a bad one.
 */
export class BadSteps {
  readonly #run: string;
  readonly #limit: number;
  #inRow: BadStep[] = [];

  /** @param limit as many in a row end the run */
  constructor(run: string, limit: number) {
    this.#run = run;
    this.#limit = limit;
  }

  get inRow(): number {
    return this.#inRow.length;
  }

  get isTooMany(): boolean {
    return this.inRow >= this.#limit;
  }

  end(): void {
    this.#inRow = [];
  }

  /** Names the images of the step in a file of the run directory; returns its name. */
  async add(step: BadStep, images: readonly string[]): Promise<string> {
    this.#inRow.push(step);
    const file = fileOf(step);
    await writeTextAtomically(join(this.#run, file), images.map((path) => `${path}\n`).join(''));
    return file;
  }

  /** What ends the run. `checkpoint`: the last whose weights gave a finite loss, or were not tried. */
  error(checkpoint: string | undefined): UserError {
    const [first, last] = [this.#inRow[0]!, this.#inRow.at(-1)!];
    const steps = first === last ? `step ${last.step}` : `steps ${first.step} to ${last.step}`;
    const files = first === last ? fileOf(last) : `${fileOf(first)} to ${fileOf(last)}`;
    const remedy =
      checkpoint === undefined
        ? 'no checkpoint is good yet: start again with other weights, a lower --lr or --clip-grad 1'
        : `the last good checkpoint is kept, ${checkpoint}: start another run from it with --init and a lower --lr or --clip-grad 1`;
    return new UserError(
      `training: expected a finite loss and gradient, got a loss of ${last.loss} and a gradient norm of ` +
        `${last.gradientNorm} in ${steps}, --max-bad-steps ${this.#limit}; their images are named in ` +
        `${join(this.#run, files)}; ${remedy}`,
    );
  }
}

function fileOf({ step }: BadStep): string {
  return `bad-batch-${step}.txt`;
}
