/** How many heads a model has. Shapes do not show it, and weights mean nothing with another number. */
import type { ModelConfig } from '../../model/config.js';
import { kebabCase } from '../../util/case.js';
import { UserError } from '../../util/errors.js';

/** What a person says of weights whose file does not. */
export type Heads = { readonly [K in 'numHeads' | 'decoderNumHeads']?: ModelConfig[K] | undefined };

/** A UserError where a person says something else than the file, or something of a decoder that is not read. */
export function checkHeads(
  given: Heads,
  described: ModelConfig | undefined,
  path: string,
  readsDecoder: boolean,
): void {
  for (const field of ['numHeads', 'decoderNumHeads'] as const) {
    if (given[field] === undefined) continue;
    const flag = `--${kebabCase(field)}`;
    if (field === 'decoderNumHeads' && !readsDecoder) {
      throw new UserError(`${flag}: expected with a decoder, got the encoder of ${path} alone; leave it out`);
    }
    if (described !== undefined && described[field] !== given[field]) {
      throw new UserError(
        `${flag}: expected ${described[field]}, as ${path} says, got ${given[field]}; leave it out`,
      );
    }
  }
}

/** An encoder or a decoder in a file that does not say how many heads it has. */
export interface HeadlessPart {
  readonly part: 'encoder' | 'decoder';
  readonly width: number;
  readonly path: string;
  /** Presets of its width and depth, by name, with their heads; those that fit the rest of the file as well first. */
  readonly presets: readonly { readonly name: string; readonly heads: number; readonly isWhole: boolean }[];
}

/**
 * Its heads: as given, else those of presets of the same sizes, else one for 64 of the width. Where presets differ, the
 * one that fits the whole file decides, else timm's one for 64. A note says what was guessed, but where all presets agree.
 */
export function headsOf(headless: HeadlessPart, given: number | undefined, notes: string[]): number {
  const { part, width, path, presets } = headless;
  const flag = part === 'encoder' ? '--num-heads' : '--decoder-num-heads';
  if (given !== undefined) {
    if (width % given === 0) return given;
    throw new UserError(
      `${flag}: expected a divisor of ${width}, the width of the ${part} in ${path}, got ${given}`,
    );
  }
  const whole = presets.filter(({ isWhole }) => isWhole);
  const candidates = whole.length > 0 ? whole : presets;
  const chosen = candidates.find(({ heads }) => heads === width / 64) ?? candidates[0];
  if (chosen === undefined && width % 64 !== 0) {
    throw new UserError(
      `checkpoint: expected ${path} to say how many heads its ${part} of width ${width} has, got neither a description, ` +
        `nor the sizes of a preset, nor a multiple of 64; give ${flag}, or a folder with a config.json of transformers`,
    );
  }
  const heads = chosen?.heads ?? width / 64;
  const others = presets.filter((preset) => preset.heads !== heads);
  if (chosen !== undefined && others.length === 0) return heads;
  const why =
    chosen === undefined
      ? '(width / 64) are used'
      : `are used, as in ${chosen.name}, not ${others[0]!.heads} as in ${others[0]!.name}`;
  notes.push(`${path} does not say how many heads its ${part} has; ${heads} ${why}; ${flag} sets others`);
  return heads;
}
