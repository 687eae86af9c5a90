import type { Graph } from '../graph/graph.js';
import { kernelOps } from '../graph/own-ops.js';
import { expandDefinitions } from './expand.js';
import { type Lacks, lowerForDevice } from './for-device.js';
import { fuseForKernels } from './fuse.js';
import { dropRoundTrips, mixedPrecision } from './mixed-precision.js';
import type { GraphPrecision, KernelPrecision } from './precision.js';
import { storeBfloat16 } from './store-bfloat16.js';

/** For what a graph is lowered. */
export interface Lowering {
  /** For the operators of `src/kernels`, with products in this precision; in ONNX's own operators where not given. */
  readonly kernelPrecision?: KernelPrecision | undefined;
  /** Precision of products and what is between them in ONNX's own operators; float32 where not given. */
  readonly graphPrecision?: GraphPrecision | undefined;
  /** What the device lacks that runs the graph; nothing where not given. */
  readonly lacks?: Lacks | undefined;
}

const halfTypes = { fp16: 'float16', bf16: 'bfloat16' } as const;

/** The graph in the operators and types that it will run in. */
export function lowerGraph(graph: Graph, lowering: Lowering = {}): Graph {
  const { kernelPrecision, graphPrecision, lacks } = lowering;
  if (kernelPrecision !== undefined) {
    const bfloat16 = kernelPrecision === 'bf16';
    const fused = expandDefinitions(fuseForKernels(graph, { bfloat16 }), kernelOps);
    return bfloat16 ? storeBfloat16(fused) : fused;
  }
  if (graphPrecision === undefined) return lowerForDevice(expandDefinitions(graph), lacks);
  const mixed = expandDefinitions(mixedPrecision(graph, halfTypes[graphPrecision]));
  return lowerForDevice(dropRoundTrips(mixed), lacks);
}
