import type { FeatureTable } from '../features.js';

/** A kind of file that features are written to. */
export interface FeatureFormat {
  /** Whether it holds [N, T, D] beside [N, D]. */
  readonly takesTokens: boolean;
  /** What is written for an output: itself, and what stands beside it. */
  paths(path: string): readonly string[];
  /** Whether a file says that features were written to it. */
  isOurs(path: string): Promise<boolean>;
  /** A UserError where it cannot hold names, before any work. */
  check?(names: { readonly names: readonly string[] }): void;
  /** @param metadata what the features are of, where the format has a place for it */
  write(path: string, table: FeatureTable, metadata: Readonly<Record<string, string>>): Promise<void>;
}
