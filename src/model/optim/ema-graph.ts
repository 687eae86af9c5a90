import { type Graph, input } from '../../compiler/graph/graph.js';
import { add, scale } from '../../compiler/graph/ops/elementwise.js';

/**
 * One step of the exponential moving average of parameters, ema ← d·ema + (1 − d)·p, on a chunk of the flat arenas; d is
 * a constant, as in timm's ModelEma without a warm-up.
 *
 * ema, param: float32 [chunk]; the output may be bound to the memory of ema.
 */
export function emaGraph(chunk: number, decay: number): Graph {
  const [ema, param] = [input('ema', 'float32', [chunk]), input('param', 'float32', [chunk])];
  const next = add(scale(ema, decay), scale(param, 1 - decay));
  return { name: 'ema_model', inputs: [ema, param], outputs: [{ name: 'ema_out', value: next }] };
}
