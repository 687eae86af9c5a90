import { formatShape, type Shape } from '../../util/shape.js';
import type { Op } from './op.js';

export type DType = 'float32' | HalfType | 'float64' | 'int32' | 'int64' | 'uint8' | 'bool';

/** Bytes of an element in memory. */
export const elementBytes: Readonly<Record<DType, number>> = {
  float32: 4,
  float16: 2,
  bfloat16: 2,
  float64: 8,
  int32: 4,
  int64: 8,
  uint8: 1,
  bool: 1,
};

/** Floating-point numbers of 16 bits: 5 and 10 of exponent and fraction, or 8 and 7. */
export type HalfType = 'float16' | 'bfloat16';

export function isHalf(type: DType): type is HalfType {
  return type === 'float16' || type === 'bfloat16';
}

/** Numbers of a constant, of the typed array that fits its type; those of 16 bits as their bits. */
export type TensorData = Float32Array | Uint16Array | Float64Array | Int32Array | BigInt64Array | Uint8Array;

export type Attribute = number | string | readonly number[];
export type Attributes = Readonly<Record<string, Attribute>>;

/** A tensor in a graph. Values and nodes are joined by identity; names are handed out when a graph is written. */
export interface Value {
  readonly type: DType;
  readonly shape: Shape;
  readonly source: Source;
  /** A sequence of tensors of `type`, each of a shape of its own; `shape` says nothing. */
  readonly sequence?: true;
}

export type Source =
  | { readonly kind: 'input'; readonly name: string }
  | { readonly kind: 'constant'; readonly data: TensorData }
  | { readonly kind: 'node'; readonly node: Node; readonly index: number };

export interface Node {
  /** Place in the order of creation, which is an order of execution. */
  readonly id: number;
  readonly op: Op;
  /** null stands for an optional input left out. */
  readonly inputs: readonly (Value | null)[];
  readonly attributes: Attributes;
  readonly outputs: readonly Value[];
}

export interface Graph {
  readonly name: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly GraphOutput[];
}

export interface GraphOutput {
  readonly name: string;
  readonly value: Value;
}

let nodesCreated = 0;

/** A graph input: what the host binds before a run. */
export function input(name: string, type: DType, shape: Shape): Value {
  return { type, shape, source: { kind: 'input', name } };
}

/** A graph input that is a sequence of tensors. */
export function sequenceInput(name: string, type: DType): Value {
  return { ...input(name, type, []), sequence: true };
}

/** A new node; one output value for each of `outputs`. Builders call this once shapes and types are checked. */
export function createNode(
  op: Op,
  inputs: readonly (Value | null)[],
  attributes: Attributes,
  outputs: readonly { type: DType; shape: Shape }[],
): readonly Value[] {
  const values: Value[] = [];
  const node: Node = { id: nodesCreated++, op, inputs, attributes, outputs: values };
  outputs.forEach(({ type, shape }, index) => {
    values.push({ type, shape, source: { kind: 'node', node, index } });
  });
  return values;
}

/** The node that makes `value`, or undefined for inputs and constants. */
export function producerOf(value: Value): Node | undefined {
  return value.source.kind === 'node' ? value.source.node : undefined;
}

/** Every node that the outputs need, in order of creation. */
export function nodesOf(outputs: readonly Value[]): Node[] {
  const found = new Set<Node>();
  const pending = outputs.map(producerOf);
  while (pending.length > 0) {
    const node = pending.pop();
    if (node === undefined || found.has(node)) continue;
    found.add(node);
    for (const value of node.inputs) if (value !== null) pending.push(producerOf(value));
  }
  return [...found].sort((a, b) => a.id - b.id);
}

/** `float32[2, 3]`, as errors and the printer write a value's type. */
export function formatType({ type, shape, sequence }: Pick<Value, 'type' | 'shape' | 'sequence'>): string {
  return sequence ? `sequence(${type})` : `${type}${formatShape(shape)}`;
}
