import type { Shape } from '../../util/shape.js';
import type { DType, TensorData } from './graph.js';

/** A graph input with its numbers, which are written with the graph: it is no input of the model. */
export interface Initializer {
  readonly name: string;
  /** float32 where not given. */
  readonly type?: DType;
  readonly shape: Shape;
  readonly data: TensorData;
}
