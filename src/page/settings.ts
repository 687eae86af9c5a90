/** What a person has set; it outlives new data. */
export interface Settings {
  x: XScale;
  isLog: boolean;
  /** 0 to 0.99: the weight of what came before, in each next point. */
  smoothing: number;
  theme: Theme;
  /** Paths of runs whose curves are not drawn. */
  readonly hidden: Set<string>;
  /** The epoch whose sheets are shown; the last while null. */
  sheetEpochs: number | null;
  /** The names of parts that are unfolded. */
  readonly open: Set<string>;
}

export type XScale = 'step' | 'epoch' | 'pictures' | 'hours';
export type Theme = 'auto' | 'light' | 'dark';

export const xScales: readonly (readonly [scale: XScale, label: string])[] = [
  ['step', 'Step'],
  ['epoch', 'Epoch'],
  ['pictures', 'Pictures seen'],
  ['hours', 'Hours'],
];

export function firstSettings(): Settings {
  return {
    x: 'step',
    isLog: false,
    smoothing: 0.6,
    theme: 'auto',
    hidden: new Set(),
    sheetEpochs: null,
    open: new Set(),
  };
}
