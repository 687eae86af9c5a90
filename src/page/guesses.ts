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
      ['guess of the mean', guesses.mean],
      ['guess of one colour', guesses.colour],
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

/** Dotted lines, behind the curves. */
export function drawGuessLines(plot: uPlot, guesses: readonly Guess[]): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = styleColour('--soft');
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([2 * devicePixelRatio, 4 * devicePixelRatio]);
  for (const { y } of placesOf(plot, guesses)) {
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
  }
  ctx.restore();
}

/** What the lines are, over the curves. */
export function drawGuessNames(plot: uPlot, guesses: readonly Guess[]): void {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  ctx.textAlign = 'right';
  ctx.textBaseline = 'bottom';
  ctx.lineWidth = 4 * devicePixelRatio;
  ctx.lineJoin = 'round';
  ctx.strokeStyle = styleColour('--card');
  ctx.fillStyle = styleColour('--text');
  for (const { label, y } of placesOf(plot, guesses)) {
    const at = [bbox.left + bbox.width - 4 * devicePixelRatio, y - 3 * devicePixelRatio] as const;
    ctx.strokeText(label, ...at);
    ctx.fillText(label, ...at);
  }
  ctx.restore();
}

/** In pixels of the canvas; without those outside. */
function placesOf(plot: uPlot, guesses: readonly Guess[]): { label: string; y: number }[] {
  const { top, height } = plot.bbox;
  return guesses
    .map(({ label, loss }) => ({ label, y: Math.round(plot.valToPos(loss, 'y', true)) }))
    .filter(({ y }) => y >= top && y <= top + height);
}
