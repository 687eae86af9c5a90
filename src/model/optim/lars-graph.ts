import { scalarLike } from '../../compiler/graph/constant.js';
import { type Graph, input, type Value } from '../../compiler/graph/graph.js';
import { add, cast, div, mul, scale, sqrt, sub } from '../../compiler/graph/ops/elementwise.js';
import { sumOfSquares } from '../../compiler/graph/ops/fused.js';
import { where } from '../../compiler/graph/ops/movement.js';
import { scalarAfter } from '../../compiler/lowering/scalar-after.js';
import { gradientName } from '../../compiler/training-names.js';
import type { Shape } from '../../util/shape.js';
import { type LarsOptions, larsScalarNames, momentumName, updatedName } from './lars.js';

/** A parameter that is trained. */
export interface LarsParameter {
  readonly name: string;
  readonly shape: Shape;
  readonly decays: boolean;
  /** What the learning rate is multiplied by for it. */
  readonly lrScale: number;
}

/**
 * One step of LARS (You, Gitman & Ginsburg, "Large Batch Training of Convolutional Networks", 2017; momentum as in
 * PyTorch's SGD) on all parameters, each a tensor, since the length of a step is that of its parameter:
 *
 *   u = g + λp      q = η‖p‖ / ‖u‖, 1 where a norm is 0      m ← μm + q·u      p ← p − lr·m
 *
 * Parameters of one axis have neither decay nor q. An output may be bound to the memory of the input that it replaces.
 */
export function larsGraph(parameters: readonly LarsParameter[], options: LarsOptions): Graph {
  const { learningRate, weightDecay, gradientScale } = larsScalarNames;
  const scalars = [learningRate, weightDecay, gradientScale].map((name) => input(name, 'float32', []));
  const inputs: Value[] = [];
  const outputs: { name: string; value: Value }[] = [];
  for (const parameter of parameters) {
    const { name: ofParameter, shape } = parameter;
    const names = [ofParameter, gradientName(ofParameter), momentumName(ofParameter)] as const;
    const [p, g, m] = names.map((name) => input(name, 'float32', shape)) as [Value, Value, Value];
    const [nextP, nextM] = updated(parameter, [p, g, m], scalars as [Value, Value, Value], options);
    inputs.push(p, g, m);
    outputs.push(
      { name: updatedName(ofParameter), value: nextP },
      { name: updatedName(momentumName(ofParameter)), value: nextM },
    );
  }
  return { name: 'optimizer_model', inputs: [...inputs, ...scalars], outputs };
}

/** A parameter and its momentum after the step. */
function updated(
  { shape, decays, lrScale }: LarsParameter,
  [p, g, m]: readonly [Value, Value, Value],
  [learningRate, weightDecay, gradientScale]: readonly [Value, Value, Value],
  { momentum, trustCoefficient }: LarsOptions,
): [Value, Value] {
  const scaled = mul(g, gradientScale);
  const u = decays && shape.length > 1 ? add(scaled, mul(p, weightDecay)) : scaled;
  const direction = shape.length > 1 ? mul(u, trustRatio(p, u, trustCoefficient)) : u;
  const nextM = add(scale(m, momentum), direction);
  const lr = lrScale === 1 ? learningRate : scale(learningRate, lrScale);
  // p·1: what writes over the memory of p reads temporaries alone, as WebGPU asks for
  const nextP = sub(mul(p, scalarAfter(nextM, 1)), mul(nextM, lr));
  return [nextP, nextM];
}

/** η‖p‖ / ‖u‖; 1 where one of the norms is 0. */
function trustRatio(p: Value, u: Value, trustCoefficient: number): Value {
  const [ofParameter, ofUpdate] = [sqrt(sumOfSquares(p)), sqrt(sumOfSquares(u))];
  const one = scalarLike(p, 1);
  // true for any number but 0
  const [hasParameter, hasUpdate] = [cast(ofParameter, 'bool'), cast(ofUpdate, 'bool')];
  const ratio = div(scale(ofParameter, trustCoefficient), ofUpdate);
  return where(hasParameter, where(hasUpdate, ratio, one), one);
}
