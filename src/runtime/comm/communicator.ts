/** The processes that train one model together, each a rank. All of them make the same calls in the same order. */
export interface Communicator {
  /** From 0 to size − 1. */
  readonly rank: number;
  readonly size: number;
  /** Each number becomes its sum over all ranks, the same bits on each. */
  sum(numbers: Float32Array | Float64Array): Promise<void>;
  /** The largest over all ranks. */
  max(number: number): Promise<number>;
  /** Waits for all ranks to come here. */
  barrier(): Promise<void>;
}

/** One process: nothing to wait for. */
export const alone: Communicator = {
  rank: 0,
  size: 1,
  sum: async () => {},
  max: async (number) => number,
  barrier: async () => {},
};
