/** Numbers for people. */

const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 2 });

export const count = (value: number): string => whole.format(value);
export const short = (value: number): string =>
  Math.abs(value) < 10_000 ? number(value) : compact.format(value);

/** With a digit after the point; of small shares two digits that mean something. */
export function percent(share: number): string {
  const isSmall = share > 0 && share < 0.01;
  return `${isSmall ? Number((100 * share).toPrecision(2)) : (100 * share).toFixed(1)} %`;
}

/** Five digits that mean something. */
export function number(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-3) return value.toExponential(3).replace(/\.?0+e/, 'e');
  if (size >= 10_000) return whole.format(value);
  return `${Number(value.toPrecision(5))}`;
}

/** For the side of a chart, where there is little room. */
export function axisText(value: number): string {
  const size = Math.abs(value);
  return size > 0 && size < 0.01 ? value.toExponential(2).replace(/\.?0+e/, 'e') : short(value);
}

export function duration(hours: number): string {
  const seconds = Math.round(hours * 3600);
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
