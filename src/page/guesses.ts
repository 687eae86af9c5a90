/** Lines of the losses that need no model. */
import type uPlot from 'uplot';
import { styleColour } from './palette.js';
import type { RunData } from './report-data.js';

export interface Guess {
  readonly label: string;
  readonly loss: number;
}

/** Of all runs; those that look alike once. */
export function guessesOf(runs: readonly RunData[]): Guess[] {
  const found = new Map<string, Guess>();
  for (const { guesses } of runs) {
    if (guesses === null) continue;
    for (const [label, loss] of [
      ['guess: the mean', guesses.mean],
      ['guess: one colour an image', guesses.colour],
    ] as const) {
      const shown = `${label} ${loss.toPrecision(3)}`;
      if (!found.has(shown)) found.set(shown, { label: shown, loss });
    }
  }
  return [...found.values()];
}

/** Guesses that are near what is drawn are in the picture. */
export function guessRange(
  low: number | null,
  high: number | null,
  guesses: readonly Guess[],
): [number, number] {
  if (low == null || high == null) return [0, 1];
  const near = guesses.map(({ loss }) => loss).filter((loss) => loss <= high * 1.3 && loss >= low * 0.5);
  const [bottom, top] = [Math.min(low, ...near), Math.max(high, ...near)];
  const margin = (top - bottom) * 0.06 || Math.abs(top) * 0.1 || 1;
  return [bottom >= 0 ? Math.max(0, bottom - margin) : bottom - margin, top + margin];
}

/** Behind the curves. */
export function drawGuesses(plot: uPlot, guesses: readonly Guess[]): void {
  const { ctx, bbox } = plot;
  const pixels = devicePixelRatio;
  for (const { label, loss } of guesses) {
    const y = Math.round(plot.valToPos(loss, 'y', true));
    if (!(y >= bbox.top && y <= bbox.top + bbox.height)) continue;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = styleColour('--soft');
    ctx.lineWidth = pixels;
    ctx.setLineDash([2 * pixels, 4 * pixels]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.font = `${11 * pixels}px system-ui, sans-serif`;
    ctx.textAlign = 'right';
    ctx.textBaseline = 'bottom';
    ctx.fillText(label, bbox.left + bbox.width - 4 * pixels, y - 2 * pixels);
    ctx.restore();
  }
}
