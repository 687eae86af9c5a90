/** What the page of a report shows: a JSON document, made of run directories by `jobs/report`. */

export interface ReportData {
  readonly format: 'mae-report';
  readonly version: 1;
  /** Of mae, which made it. */
  readonly mae: string;
  /** ISO 8601 */
  readonly made: string;
  readonly runs: readonly RunData[];
  /** What the runs were told, those rows first that differ. */
  readonly options: readonly OptionRow[];
}

export interface RunData {
  /** The end of its path, as short as tells the runs apart. */
  readonly name: string;
  readonly path: string;
  readonly command: string | null;
  readonly model: string | null;
  readonly state: string;
  readonly step: number | null;
  readonly totalSteps: number | null;
  readonly epochs: number | null;
  /** Steps of an epoch and pictures of a step, where they are known: the other scales of x. */
  readonly stepsPerEpoch: number | null;
  readonly imagesPerStep: number | null;
  readonly curves: readonly Curve[];
  readonly guesses: { readonly mean: number; readonly colour: number } | null;
  readonly throughput: Throughput | null;
  /** Pairs of a name and a value: versions, device, precision. */
  readonly machine: readonly (readonly [name: string, value: string])[];
  /** Files that were passed over, those reasons first that are the most common. */
  readonly skipped: readonly Counted[];
  /** What else did not go well: steps without an update, probes, validations and sheets that failed. */
  readonly troubles: readonly Counted[];
  readonly sheets: Sheets | null;
  readonly weights: WeightPictures | null;
  readonly evaluations: readonly Evaluation[];
  /** What the page leaves out of this run, and why; each a sentence. */
  readonly notes: readonly string[];
}

/** Points of a curve in the order of their steps. */
export interface Curve {
  /** As `scalarsOf` names it: `train/loss`. */
  readonly tag: string;
  readonly step: readonly number[];
  readonly value: readonly number[];
  /** Hours of training behind each point. */
  readonly hours: readonly number[];
  /** Points of the log. */
  readonly total: number;
  /**
   * Of a curve that was thinned out: the mean of each point's bucket, of which the point is the smallest or the largest. Null
   * where all points are there.
   */
  readonly mean: readonly number[] | null;
}

export interface Throughput {
  /** Over the whole time of training, validation and all. */
  readonly imagesPerSecond: number | null;
  /** Median of the logged steps. */
  readonly medianImagesPerSecond: number | null;
  /** Mean share of time spent waiting for data. */
  readonly dataWait: number | null;
  readonly hours: number;
}

export interface Counted {
  readonly reason: string;
  readonly count: number;
  readonly examples: readonly string[];
}

/** A picture in the page. */
export interface Picture {
  /** A data: URL, or a path on the server that gives the page. */
  readonly src: string;
  readonly width: number;
  readonly height: number;
}

export interface Sheets {
  readonly sheets: readonly (Picture & { readonly epochs: number })[];
  /** What the rows show, from above. */
  readonly rows: readonly string[];
  /** Names of the pictures, a column each. */
  readonly columns: readonly string[];
  /** Sheets of the run directory. */
  readonly total: number;
}

export interface WeightPictures {
  /** Which weights they are of. */
  readonly checkpoint: string;
  readonly filters: Filters;
  readonly earlier: (Filters & { readonly checkpoint: string; readonly change: number }) | null;
  readonly positions: PositionMaps | null;
  readonly attention: AttentionMaps | null;
}

/** Patch embeddings as colours: a tile each, 0 grey, by its own largest number. */
export interface Filters {
  readonly picture: Picture;
  readonly shown: number;
  readonly total: number;
}

/** Cosine similarity of the positions: a map of the grid for each place of the grid. */
export interface PositionMaps {
  readonly picture: Picture;
  readonly rows: number;
  readonly columns: number;
  readonly low: number;
  readonly high: number;
}

export interface AttentionMaps {
  readonly heads: number;
  readonly block: number;
  /** Each a picture, and a map for each head beside it. */
  readonly images: readonly (Picture & { readonly name: string })[];
}

/** What `mae evaluate` left in a folder of the run. */
export interface Evaluation {
  readonly folder: string;
  /** Header and rows. */
  readonly table: readonly (readonly string[])[];
  readonly confusion: { readonly classes: readonly string[]; readonly counts: readonly number[] } | null;
  /** Why there is no confusion matrix, where one was left out. */
  readonly note: string | null;
}

export interface OptionRow {
  readonly name: string;
  /** Of each run; null where it has none. */
  readonly values: readonly (string | null)[];
  readonly differs: boolean;
}
