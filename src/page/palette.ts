/** Colours of runs: those of Okabe and Ito (2008), told apart by the colour-blind, in tones for each background. */
const light = ['#0072b2', '#d55e00', '#009e73', '#b4558a', '#222222', '#b58900', '#3d9be0', '#7a4fbf'];
const dark = ['#56b4e9', '#f28e2b', '#2fc79a', '#e39bc4', '#e8e8e8', '#f0e442', '#8fa8ff', '#c9a3ff'];

/** One for each run; the ninth is the first again. */
export function runColour(index: number): string {
  const colours = isDark() ? dark : light;
  return colours[index % colours.length]!;
}

export function isDark(): boolean {
  const theme = document.documentElement.dataset['theme'];
  return theme === undefined ? matchMedia('(prefers-color-scheme: dark)').matches : theme === 'dark';
}

/** A colour of the style sheet. */
export function styleColour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Dashes of the lines of one run in one chart. */
export const dashes: readonly number[][] = [[], [6, 4], [2, 3]];
