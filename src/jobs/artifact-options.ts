import type { ArtifactOptions } from '../artifact/build.js';
import type { Device } from '../runtime/device.js';
import type { Compute } from '../train/engine/compute.js';

/** What the flags say of the graphs. */
export interface GraphFlags
  extends Pick<
    ArtifactOptions,
    'batchSize' | 'maskRatio' | 'predictRatio' | 'normPixLoss' | 'gradCheckpointing'
  > {
  readonly accumIter: number;
}

/** The graphs that a run needs on a device. */
export function artifactOptions(
  flags: GraphFlags,
  { kernelPrecision, graphPrecision }: Compute,
  { lacks }: Device,
): ArtifactOptions {
  return { ...flags, accumulate: flags.accumIter > 1, kernelPrecision, graphPrecision, lacks };
}
