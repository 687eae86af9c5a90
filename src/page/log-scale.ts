/** A logarithmic side of a chart. */

/** At most six decades: a learning rate ends next to 0. */
export function logRange(low: number | null, high: number | null): [low: number, high: number] {
  if (low === null || high === null) return [0.1, 1];
  return [Math.max(low, high * 1e-6) / 1.1, high * 1.1];
}

/** Powers of ten, and numbers between them where there are few. */
export function logTicks(low: number, high: number): number[] {
  const decades = Math.log10(high / low);
  const between = decades > 3 ? [1] : decades > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8];
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const ticks: number[] = [];
  for (let power = first; power <= last; power++) {
    // of text, for 3 × 0.1 is not 0.3
    ticks.push(...between.map((digit) => Number(`${digit}e${power}`)));
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}
