import { writeFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import ort from 'onnxruntime-node';
import { describe, expect, test } from 'vitest';
import { constant } from '../../../src/compiler/graph/constant.js';
import { type Attributes, createNode, type Graph, input } from '../../../src/compiler/graph/graph.js';
import type { Op } from '../../../src/compiler/graph/op.js';
import { add, cast, mul, scale } from '../../../src/compiler/graph/ops/elementwise.js';
import { geluGrad } from '../../../src/compiler/graph/ops/gradient.js';
import { gemm } from '../../../src/compiler/graph/ops/linalg.js';
import { concat, gather, reshape, scatterAdd } from '../../../src/compiler/graph/ops/movement.js';
import { layerNormalization } from '../../../src/compiler/graph/ops/normalization.js';
import { printGraph } from '../../../src/compiler/graph/print.js';
import { type EncodeOptions, encodeModel, opsetVersion } from '../../../src/compiler/onnx/encode.js';

const { onnx } = onnxProto;
const { AttributeType } = onnx.AttributeProto;
const { DataType } = onnx.TensorProto;

/** As numbers and strings where protobuf has longs and bytes. */
function decode(bytes: Uint8Array) {
  const model = onnx.ModelProto.decode(bytes);
  const graph = model.graph!;
  return {
    model,
    graph,
    nodes: graph.node!.map((node) => ({
      op: node.opType,
      domain: node.domain,
      inputs: node.input,
      outputs: node.output,
      attributes: Object.fromEntries(
        node.attribute!.map(({ name, type, f, i, s, ints }) => {
          switch (type) {
            case AttributeType.FLOAT:
              return [name, { float: f }];
            case AttributeType.INT:
              return [name, { int: Number(i) }];
            case AttributeType.STRING:
              return [name, { string: Buffer.from(s!).toString() }];
            case AttributeType.INTS:
              return [name, { ints: ints!.map(Number) }];
            default:
              throw new Error(`decode: attribute ${name} of type ${type}`);
          }
        }),
      ),
    })),
    inputs: graph.input!.map(describeValue),
    outputs: graph.output!.map(describeValue),
  };
}

function describeValue({ name, type }: onnxProto.onnx.IValueInfoProto) {
  const { elemType, shape } = type!.tensorType!;
  return {
    name,
    type: DataType[elemType!],
    shape: shape!.dim!.map((dim) => dim.dimParam || Number(dim.dimValue)),
  };
}

/** y = 2·table[ids]·weightᵀ, with a table of pixels. */
function lookup(): Graph {
  const table = input('table', 'uint8', [6, 3]);
  const ids = input('ids', 'int64', [4]);
  const weight = input('weight', 'float32', [2, 3]);
  const y = gemm(cast(gather(table, ids), 'float32'), weight, { transB: true, alpha: 2 });
  return { name: 'lookup', inputs: [table, ids, weight], outputs: [{ name: 'y', value: y }] };
}

/** x·Wᵀ + b with the batch in front. */
function linear(): Graph {
  const x = input('x', 'float32', [1, 3]);
  const [weight, bias] = [input('weight', 'float32', [2, 3]), input('bias', 'float32', [2])];
  const y = gemm(x, weight, { transB: true, c: bias });
  return { name: 'linear', inputs: [x, weight, bias], outputs: [{ name: 'y', value: y }] };
}
const initializers = [
  { name: 'weight', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) },
  { name: 'bias', shape: [2], data: Float32Array.of(10, 20) },
];

describe('the bytes', () => {
  test('are the same for the same graph, however many nodes were made before', () => {
    const first = encodeModel(lookup());
    scale(input('other', 'float32', [1]), 2);
    expect(encodeModel(lookup())).toEqual(first);
  });

  test('differ for another name', () => {
    const graph = lookup();
    const renamed = { ...graph, outputs: [{ name: 'z', value: graph.outputs[0]!.value }] };
    expect(encodeModel(renamed)).not.toEqual(encodeModel(graph));
  });

  test('come of a checked graph only', () => {
    const graph = lookup();
    expect(() => encodeModel({ ...graph, inputs: graph.inputs.slice(1) })).toThrow('undeclared input table');
  });
});

describe('numbers of 16 bits', () => {
  test.each([
    ['float16', Uint16Array.of(0x2e66, 0xfbff), [1638 / 2 ** 14, -65504]],
    ['bfloat16', Uint16Array.of(0x3dcd, 0xff7f), [205 / 2 ** 11, -(2 ** 128 - 2 ** 120)]],
  ] as const)('%s: a constant is what ONNX Runtime makes of its bits', async (type, bits, wanted) => {
    const x = input('x', 'float32', [1]);
    const both = concat([cast(x, type), constant(type, [2], bits), cast(x, type)], 0);
    const graph: Graph = { name: 'g', inputs: [x], outputs: [{ name: 'y', value: cast(both, 'float32') }] };
    const session = await ort.InferenceSession.create(encodeModel(graph));
    const { y } = await session.run({ x: new ort.Tensor('float32', [0.5], [1]) });
    expect([...(y!.data as Float32Array)]).toEqual([0.5, ...wanted, 0.5]);
  });

  test('are those nearest to what a scalar is asked to be, and printed as numbers', () => {
    const half = cast(input('x', 'float32', [1]), 'float16');
    const value = scale(half, 0.1);
    expect(value.source).toMatchObject({
      node: { inputs: [{}, { source: { data: Uint16Array.of(0x2e66) } }] },
    });
    const graph: Graph = { name: 'g', inputs: [], outputs: [{ name: 'y', value }] };
    expect(printGraph(graph)).toContain('Mul(Cast_0, 0.0999755859375)');
  });

  test('are in the names of our operators', () => {
    const [x, dy] = [input('x', 'float16', [2]), input('dy', 'float16', [2])];
    const graph: Graph = {
      name: 'g',
      inputs: [x, dy],
      outputs: [{ name: 'dx', value: geluGrad(dy, x)[0]! }],
    };
    expect(decode(encodeModel(graph)).nodes[0]).toMatchObject({ op: 'GeluGrad_hh_hh', domain: 'mae' });
  });
});

describe('the model', () => {
  test('has the opset and IR version that Gelu needs', () => {
    const { model } = decode(encodeModel(lookup()));
    expect(Number(model.irVersion)).toBe(9);
    expect(opsetVersion).toBe(20);
    expect(model.opsetImport!.map(({ domain, version }) => [domain, Number(version)])).toEqual([['', 20]]);
  });

  test('imports our domain where the graph has operators of it', () => {
    const [x, dy] = [input('x', 'float32', [2]), input('dy', 'float32', [2])];
    const graph: Graph = {
      name: 'g',
      inputs: [x, dy],
      outputs: [{ name: 'dx', value: geluGrad(dy, x)[0]! }],
    };
    const { model, nodes } = decode(encodeModel(graph));
    expect(model.opsetImport!.map(({ domain, version }) => [domain, Number(version)])).toEqual([
      ['', 20],
      ['mae', 1],
    ]);
    expect(nodes).toMatchObject([
      { op: 'GeluGrad', domain: 'mae', inputs: ['dy', 'x'], outputs: ['dx', ''] },
    ]);
  });

  test('carries metadata', () => {
    const metadata = { model: 'nano', 'mask ratio': '0.75' };
    const { model } = decode(encodeModel(lookup(), { metadata }));
    expect(Object.fromEntries(model.metadataProps!.map(({ key, value }) => [key, value]))).toEqual(metadata);
  });

  test('has inputs and outputs with types and sizes', () => {
    const { inputs, outputs, graph } = decode(encodeModel(lookup()));
    expect(graph.name).toBe('lookup');
    expect(inputs).toEqual([
      { name: 'table', type: 'UINT8', shape: [6, 3] },
      { name: 'ids', type: 'INT64', shape: [4] },
      { name: 'weight', type: 'FLOAT', shape: [2, 3] },
    ]);
    expect(outputs).toEqual([{ name: 'y', type: 'FLOAT', shape: [4, 2] }]);
  });

  test('has nodes with attributes of the types that ONNX wants', () => {
    const { nodes, graph } = decode(encodeModel(lookup()));
    expect(nodes).toEqual([
      {
        op: 'Gather',
        domain: '',
        inputs: ['table', 'ids'],
        outputs: ['Gather_0'],
        attributes: { axis: { int: 0 } },
      },
      {
        op: 'Cast',
        domain: '',
        inputs: ['Gather_0'],
        outputs: ['Cast_1'],
        attributes: { to: { int: DataType.FLOAT } },
      },
      {
        op: 'Gemm',
        domain: '',
        inputs: ['Cast_1', 'weight'],
        outputs: ['y'],
        attributes: { transA: { int: 0 }, transB: { int: 1 }, alpha: { float: 2 } },
      },
    ]);
    expect(graph.node!.map(({ name }) => name)).toEqual(['Gather_0', 'Cast_1', 'Gemm_2']);
  });

  test('writes strings, small floats and every output of a node', () => {
    const x = input('x', 'float32', [2, 3]);
    const ids = input('ids', 'int64', [2]);
    const row = input('row', 'float32', [3]);
    const y = scatterAdd([4, 3], ids, layerNormalization(x, row, row, 1e-6));
    const { nodes } = decode(
      encodeModel({ name: 'g', inputs: [x, ids, row], outputs: [{ name: 'y', value: y }] }),
    );
    const norm = nodes.find(({ op }) => op === 'LayerNormalization')!;
    expect(norm.attributes).toEqual({ axis: { int: -1 }, epsilon: { float: Math.fround(1e-6) } });
    expect(norm.outputs).toHaveLength(3);
    expect(new Set(norm.outputs).size).toBe(3);
    expect(nodes.at(-1)).toMatchObject({ op: 'ScatterND', attributes: { reduction: { string: 'add' } } });
  });
});

describe('float attributes', () => {
  const x = input('x', 'float32', [2, 3]);
  const attributesOf = (op: Op, attributes: Attributes) => {
    const [y] = createNode(op, [x], attributes, [x]);
    const graph: Graph = { name: 'g', inputs: [x], outputs: [{ name: 'y', value: y! }] };
    return decode(encodeModel(graph)).nodes[0]!.attributes;
  };

  test('are written as floats, also where they are whole numbers', () => {
    expect(attributesOf('AdamW', { beta1: 0.5, beta2: 1, epsilon: 0 })).toEqual({
      beta1: { float: 0.5 },
      beta2: { float: 1 },
      epsilon: { float: 0 },
    });
    expect(attributesOf('HardSigmoid', { alpha: 0.5, beta: 1 })).toEqual({
      alpha: { float: 0.5 },
      beta: { float: 1 },
    });
    expect(attributesOf('AdamWOptimizer', { weight_decay: 0, adam_mode: 0 })).toEqual({
      weight_decay: { float: 0 },
      adam_mode: { int: 0 },
    });
  });

  // `epsilon` is a float of other operators, `ratio` of none
  test.each<[Op, string]>([
    ['ColumnSums', 'ratio'],
    ['ColumnSums', 'epsilon'],
    ['Softmax', 'ratio'],
    ['InPlaceAccumulatorV2', 'epsilon'],
  ])('of %s that are not declared do not become integers: %s', (op, name) => {
    for (const value of [0.5, Number.NaN, Number.POSITIVE_INFINITY, [1, 0.5]]) {
      expect(() => attributesOf(op, { [name]: value })).toThrow(
        `expected an integer for attribute ${name} of ${op}, got ${value}`,
      );
    }
  });
});

describe('constants', () => {
  test('become initializers, one for each distinct type, shape and content', () => {
    const x = input('x', 'float32', [2, 2]);
    const twos = () => constant('float32', [2], Float32Array.of(2, 2));
    const column = constant('float32', [2, 1], Float32Array.of(2, 2));
    const y = mul(add(add(x, twos()), twos()), column);
    const z = reshape(scale(scale(y, 2), 2), [4]);
    const { graph, nodes } = decode(
      encodeModel({ name: 'g', inputs: [x], outputs: [{ name: 'z', value: z }] }),
    );
    expect(
      graph.initializer!.map(({ name, dataType, dims }) => [name, DataType[dataType!], dims!.map(Number)]),
    ).toEqual([
      ['constant_0', 'FLOAT', [2]],
      ['constant_1', 'FLOAT', [2, 1]],
      ['constant_2', 'FLOAT', []],
      ['constant_3', 'INT64', [1]],
    ]);
    expect(nodes.map(({ inputs }) => inputs!.at(-1))).toEqual([
      'constant_0',
      'constant_0',
      'constant_1',
      'constant_2',
      'constant_2',
      'constant_3',
    ]);
  });

  test('keep their numbers', () => {
    const x = input('x', 'float64', [3]);
    // a view into a larger buffer: only its own numbers are written
    const data = Float64Array.of(9, 1.5, -2, Number.NaN, 9).subarray(1, 4);
    const y = add(x, constant('float64', [3], data));
    const { graph } = decode(encodeModel({ name: 'g', inputs: [x], outputs: [{ name: 'y', value: y }] }));
    const raw = Buffer.from(graph.initializer![0]!.rawData!);
    expect([0, 8, 16].map((offset) => raw.readDoubleLE(offset))).toEqual([1.5, -2, Number.NaN]);
    expect(raw).toHaveLength(24);
  });
});

describe('weights', () => {
  async function run(options: EncodeOptions, batch: number, folder?: string): Promise<number[]> {
    const bytes = encodeModel(linear(), options);
    const path = folder && join(folder, 'model.onnx');
    if (path) writeFileSync(path, bytes);
    const session = path ? await ort.InferenceSession.create(path) : await ort.InferenceSession.create(bytes);
    const x = Float32Array.from({ length: batch * 3 }, (_, i) => i);
    const { y } = await session.run({ x: new ort.Tensor('float32', x, [batch, 3]) });
    expect(y!.dims).toEqual([batch, 2]);
    await session.release();
    return [...(y!.data as Float32Array)];
  }
  // row i of x is (3i, 3i+1, 3i+2)
  const expected = [18, 37, 36, 82, 54, 127];

  test('become initializers and are no inputs any more', async () => {
    const { inputs, graph } = decode(encodeModel(linear(), { initializers }));
    expect(inputs.map(({ name }) => name)).toEqual(['x']);
    expect(graph.initializer!.map(({ name, dims }) => [name, dims!.map(Number)])).toEqual([
      ['weight', [2, 3]],
      ['bias', [2]],
    ]);
    expect(await run({ initializers }, 1)).toEqual(expected.slice(0, 2));
  });

  test('with a batch axis the leading size is a name, and any batch runs', async () => {
    const options = { initializers, batchAxis: 'batch' };
    const { inputs, outputs } = decode(encodeModel(linear(), options));
    expect(inputs).toEqual([{ name: 'x', type: 'FLOAT', shape: ['batch', 3] }]);
    expect(outputs).toEqual([{ name: 'y', type: 'FLOAT', shape: ['batch', 2] }]);
    expect(await run(options, 1)).toEqual(expected.slice(0, 2));
    expect(await run(options, 3)).toEqual(expected);
  });

  test('go to a file of their own where asked, one after the other', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'mae-onnx-'));
    try {
      const options = { initializers, externalData: 'model.onnx.data', batchAxis: 'batch' };
      const { graph } = decode(encodeModel(linear(), options));
      const places = graph.initializer!.map(({ externalData, rawData }) => {
        expect(rawData).toHaveLength(0);
        return Object.fromEntries(externalData!.map(({ key, value }) => [key, value]));
      });
      expect(places).toEqual([
        { location: 'model.onnx.data', offset: '0', length: '24' },
        { location: 'model.onnx.data', offset: '24', length: '8' },
      ]);
      const data = Buffer.concat(initializers.map(({ data }) => Buffer.from(data.buffer)));
      writeFileSync(join(folder, 'model.onnx.data'), data);
      expect(await run(options, 3, folder)).toEqual(expected);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
