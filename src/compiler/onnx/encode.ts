import onnxProto from 'onnx-proto';
import { bytesOf } from '../../util/bytes.js';
import { checkGraph } from '../graph/check.js';
import type { Attribute, DType, Graph, Node, TensorData, Value } from '../graph/graph.js';
import type { Initializer } from '../graph/initializer.js';
import { nameValues } from '../graph/names.js';
import type { MicrosoftOp, Op, Opset } from '../graph/op.js';
import { isOwnOp, type OwnOp, ownOps } from '../graph/own-ops.js';

const { onnx } = onnxProto;

/**
 * Versions of ONNX's operators that graphs are written in, with the version of the file format that they came with:
 * LayerNormalization came with 17, Gelu with 20. `lowering/for-opset.ts` says what 17 needs.
 */
const irVersions: Readonly<Record<Opset, number>> = { 17: 8, 20: 9 };
export const opsetVersion = 20 satisfies Opset;
/** The domain of the operators of `src/kernels`, and that of ONNX Runtime. */
const ownDomain = 'mae';
const microsoftDomain = 'com.microsoft';

const { DataType } = onnx.TensorProto;
const elementType: Record<DType, number> = {
  float32: DataType.FLOAT,
  float16: DataType.FLOAT16,
  bfloat16: DataType.BFLOAT16,
  float64: DataType.DOUBLE,
  int32: DataType.INT32,
  int64: DataType.INT64,
  uint8: DataType.UINT8,
  bool: DataType.BOOL,
};
/** Attributes that are floats; those of our own operators stand in their rows (`own-ops.ts`). */
const onnxFloats: { readonly [K in Exclude<Op, OwnOp | MicrosoftOp>]?: readonly string[] } = {
  Gemm: ['alpha'],
  HardSigmoid: ['alpha', 'beta'],
  LayerNormalization: ['epsilon'],
  Resize: ['cubic_coeff_a'],
};
const microsoftFloats: { readonly [K in MicrosoftOp]: readonly string[] } = {
  AdamWOptimizer: ['alpha', 'beta', 'epsilon', 'weight_decay'],
  InPlaceAccumulatorV2: [],
};
const isMicrosoftOp = (op: Op): op is MicrosoftOp => Object.hasOwn(microsoftFloats, op);

/** Names of the axes of an input or output that may have any size, by their places. */
export type FreeAxes = Readonly<Record<number, string | undefined>>;

export interface EncodeOptions {
  /** Written to the model's metadata_props. */
  metadata?: Readonly<Record<string, string>>;
  /** Graph inputs that are weights: they become initializers and are no inputs any more. */
  initializers?: readonly Initializer[];
  /** The name of a leading axis that may have any size when the model runs. */
  batchAxis?: string;
  /** More axes of that kind, by the names of inputs and outputs. */
  freeAxes?: Readonly<Record<string, FreeAxes>>;
  /**
   * Puts initializers into a file of their own, or each into a file: ONNX's external data, for models over protobuf's 2 GiB.
   */
  externalData?: string | readonly string[];
  opset?: Opset;
}

/** The bytes of an ONNX model. Same graph, same bytes. */
export function encodeModel(graph: Graph, options: EncodeOptions = {}): Uint8Array {
  const { opset = opsetVersion, batchAxis, freeAxes = {} } = options;
  const axesOf = (name: string): FreeAxes => ({
    ...(batchAxis !== undefined && { 0: batchAxis }),
    ...freeAxes[name],
  });
  checkGraph(graph);
  const { nodes, nameOf } = nameValues(graph);
  const constants = new ConstantTable();
  const weights = new Set(options.initializers?.map(({ name }) => name));
  const read = new Set(nodes.flatMap(({ inputs }) => inputs).concat(graph.outputs.map(({ value }) => value)));
  const nodeProtos = nodes.map((node, index) => encodeNode(node, index, nameOf, constants, read));
  const inputs = graph.inputs.filter((value) => !weights.has(nameOf(value)));
  const domains = new Set(nodes.map(({ op }) => domainOf(op)));
  const model: onnxProto.onnx.IModelProto = {
    irVersion: irVersions[opset],
    producerName: 'mae',
    opsetImport: [
      { domain: '', version: opset },
      ...[ownDomain, microsoftDomain]
        .filter((domain) => domains.has(domain))
        .map((domain) => ({ domain, version: 1 })),
    ],
    metadataProps: Object.entries(options.metadata ?? {}).map(([key, value]) => ({ key, value })),
    graph: {
      name: graph.name,
      input: inputs.map((value) => valueInfo(nameOf(value), value, axesOf(nameOf(value)))),
      output: graph.outputs.map(({ name, value }) => valueInfo(name, value, axesOf(name))),
      node: nodeProtos,
      initializer: [...constants.protos, ...encodeInitializers(options)],
    },
  };
  return onnx.ModelProto.encode(model).finish();
}

function encodeNode(
  node: Node,
  index: number,
  nameOf: (value: Value) => string,
  constants: ConstantTable,
  read: ReadonlySet<Value | null>,
): onnxProto.onnx.INodeProto {
  const named = (value: Value | null): string => {
    if (value === null) return '';
    return value.source.kind === 'constant' ? constants.nameOf(value) : nameOf(value);
  };
  return {
    name: `${node.op}_${index}`,
    opType: operatorName(node),
    domain: domainOf(node.op),
    input: node.inputs.map(named),
    output: outputsOf(node, nameOf, read),
    attribute: Object.entries(node.attributes).map(([name, value]) => encodeAttribute(node.op, name, value)),
  };
}

/**
 * Our operators name the types of their tensors where one of them has 16 bits, for a custom operator has fixed types:
 * FusedGemm_b_b takes a bfloat16 first factor and gives bfloat16. The letters of the inputs and of the outputs, b, h
 * (float16) or f, end with the last that is not f.
 */
function operatorName({ op, inputs, outputs }: Node): string {
  if (!isOwnOp(op)) return op;
  const letters = (values: readonly (Value | null)[]) =>
    values
      .map((value) => (value?.type === 'bfloat16' ? 'b' : value?.type === 'float16' ? 'h' : 'f'))
      .join('')
      .replace(/f+$/, '');
  const [taken, given] = [letters(inputs), letters(outputs)];
  return taken === '' && given === '' ? op : `${op}_${taken}_${given}`;
}

/** The names of a node's outputs; ONNX leaves out an optional one by an empty name. */
function outputsOf(
  { op, outputs }: Node,
  nameOf: (value: Value) => string,
  read: ReadonlySet<Value | null>,
): string[] {
  const needed = isOwnOp(op) ? ownOps[op].outputs : outputs.length;
  return outputs.map((value, index) => (index < needed || read.has(value) ? nameOf(value) : ''));
}

function domainOf(op: Op): string {
  if (isOwnOp(op)) return ownDomain;
  return isMicrosoftOp(op) ? microsoftDomain : '';
}

function floatsOf(op: Op): readonly string[] {
  if (isOwnOp(op)) return ownOps[op].floats;
  return (isMicrosoftOp(op) ? microsoftFloats[op] : onnxFloats[op]) ?? [];
}

/** An error where a number would be written as an integer that is none. */
function encodeAttribute(op: Op, name: string, value: Attribute): onnxProto.onnx.IAttributeProto {
  const { AttributeType } = onnx.AttributeProto;
  if (op === 'Cast' && name === 'to')
    return { name, type: AttributeType.INT, i: elementType[value as DType] };
  if (typeof value === 'string') return { name, type: AttributeType.STRING, s: Buffer.from(value) };
  if (typeof value === 'number' && floatsOf(op).includes(name))
    return { name, type: AttributeType.FLOAT, f: value };
  const numbers = typeof value === 'number' ? [value] : [...value];
  if (!numbers.every(Number.isSafeInteger)) {
    throw new TypeError(
      `encodeModel: expected an integer for attribute ${name} of ${op}, got ${value}; declare it a float ` +
        `in ${isOwnOp(op) ? 'graph/own-ops.ts' : 'onnx/encode.ts'}`,
    );
  }
  return typeof value === 'number'
    ? { name, type: AttributeType.INT, i: value }
    : { name, type: AttributeType.INTS, ints: numbers };
}

function valueInfo(name: string, value: Value, freeAxes: FreeAxes): onnxProto.onnx.IValueInfoProto {
  const elemType = elementType[value.type];
  if (value.sequence) return { name, type: { sequenceType: { elemType: { tensorType: { elemType } } } } };
  const dim = value.shape.map((size, axis) =>
    freeAxes[axis] === undefined ? { dimValue: size } : { dimParam: freeAxes[axis] },
  );
  return { name, type: { tensorType: { elemType, shape: { dim } } } };
}

function encodeInitializers({
  initializers = [],
  externalData,
}: EncodeOptions): onnxProto.onnx.ITensorProto[] {
  const offsets = new Map<string, number>();
  return initializers.map(({ name, type = 'float32', shape, data }, index) => {
    const tensor = { name, dataType: elementType[type], dims: [...shape] };
    if (externalData === undefined) return { ...tensor, rawData: bytesOf(data) };
    const location = typeof externalData === 'string' ? externalData : externalData[index]!;
    const offset = offsets.get(location) ?? 0;
    const place = { location, offset: String(offset), length: String(data.byteLength) };
    offsets.set(location, offset + data.byteLength);
    return {
      ...tensor,
      dataLocation: onnx.TensorProto.DataLocation.EXTERNAL,
      externalData: Object.entries(place).map(([key, value]) => ({ key, value })),
    };
  });
}

/** Constants become initializers, one for each distinct content. */
class ConstantTable {
  readonly protos: onnxProto.onnx.ITensorProto[] = [];
  readonly #byContent = new Map<string, string>();
  readonly #byValue = new Map<Value, string>();

  nameOf(value: Value): string {
    const known = this.#byValue.get(value);
    if (known !== undefined) return known;
    const { data } = value.source as { data: TensorData };
    const raw = bytesOf(data);
    const content = `${value.type}[${value.shape}]${Buffer.from(raw).toString('latin1')}`;
    let name = this.#byContent.get(content);
    if (name === undefined) {
      name = `constant_${this.protos.length}`;
      this.#byContent.set(content, name);
      this.protos.push({ name, dataType: elementType[value.type], dims: [...value.shape], rawData: raw });
    }
    this.#byValue.set(value, name);
    return name;
  }
}
