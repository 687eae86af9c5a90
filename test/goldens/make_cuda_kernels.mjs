/**
 * Writes `cuda-kernels.json`: for each operator that graphs here are made of, or may be, the types that ONNX Runtime's
 * CUDA provider has a kernel for. The provider itself is asked: a model of one node either gets a session in which
 * nothing may run on the CPU, or not. No card is needed; `../support/fake-cuda` stands in for NVIDIA's libraries.
 *
 *   MAE_TEST_ONNXRUNTIME_GPU=<site-packages> npx vitest run test/runtime/cuda/provider.test.ts   (the same, as a test)
 *   MAE_ONNXRUNTIME_LIBRARY=<site-packages>/onnxruntime/capi LD_LIBRARY_PATH=<fakes> node make_cuda_kernels.mjs
 */
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import onnxProto from 'onnx-proto';
import { cudaDevice } from '../../dist/runtime/cuda/device.js';
import { Runtime } from '../../dist/runtime/runtime.js';

const { onnx } = onnxProto;
const opset = 20;
const { DataType } = onnx.TensorProto;
const types = {
  float32: DataType.FLOAT,
  float16: DataType.FLOAT16,
  bfloat16: DataType.BFLOAT16,
  float64: DataType.DOUBLE,
  int64: DataType.INT64,
  int32: DataType.INT32,
  uint8: DataType.UINT8,
  bool: DataType.BOOL,
};
const typeNames = Object.keys(types);

/** Inputs: a shape of the type in question, or [type, shape]; `ints` are constants. */
const unary = { inputs: [[4, 6]] };
const binary = { inputs: [[4, 6], [4, 6]] };
const compare = { ...binary, output: 'bool' };
const logical = { ...compare, only: ['bool'] };
const reduction = { inputs: [[4, 6], { ints: [1] }], attributes: { keepdims: 1 } };
const operators = {
  ...Object.fromEntries(['Abs', 'Ceil', 'Erf', 'Exp', 'Floor', 'Gelu', 'HardSigmoid', 'Identity', 'Log', 'Neg', 'Reciprocal', 'Relu', 'Round', 'Sigmoid', 'Sign', 'Sqrt', 'Tanh'].map((op) => [op, unary])),
  ...Object.fromEntries(['Add', 'Div', 'Max', 'Min', 'Mul', 'Pow', 'Sub', 'Sum'].map((op) => [op, binary])),
  ...Object.fromEntries(['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'].map((op) => [op, compare])),
  ...Object.fromEntries(['And', 'Or'].map((op) => [op, logical])),
  ...Object.fromEntries(['ReduceL2', 'ReduceLogSumExp', 'ReduceMax', 'ReduceMean', 'ReduceMin', 'ReduceSum', 'ReduceSumSquare'].map((op) => [op, reduction])),
  Not: { ...unary, only: ['bool'] },
  IsInf: { ...unary, output: 'bool' },
  IsNaN: { ...unary, output: 'bool' },
  Where: { inputs: [['bool', [4, 6]], [4, 6], [4, 6]] },
  Clip: { inputs: [[4, 6], [], []] },
  MatMul: { inputs: [[4, 6], [6, 5]] },
  Gemm: { inputs: [[4, 6], [6, 5], [5]] },
  Concat: { inputs: [[4, 6], [4, 6]], attributes: { axis: 0 } },
  Expand: { inputs: [[4, 1], { ints: [4, 6] }] },
  Gather: { inputs: [[4, 6], ['int64', [2]]], attributes: { axis: 0 } },
  GatherElements: { inputs: [[4, 6], ['int64', [4, 2]]], attributes: { axis: 1 } },
  LayerNormalization: { inputs: [[4, 6], [6], [6]], outputs: [undefined, 'float32', 'float32'] },
  Pad: { inputs: [[4, 6], { ints: [0, 0, 1, 1] }] },
  Reshape: { inputs: [[4, 6], { ints: [6, 4] }] },
  ScatterND: { inputs: [[4, 6], ['int64', [2, 1]], [2, 6]] },
  Slice: { inputs: [[4, 6], { ints: [0] }, { ints: [2] }, { ints: [1] }] },
  Softmax: { inputs: [[4, 6]], attributes: { axis: -1 } },
  Split: { inputs: [[4, 6], { ints: [2, 2] }], attributes: { axis: 0 }, outputs: [undefined, undefined] },
  Squeeze: { inputs: [[4, 1], { ints: [1] }] },
  Transpose: { inputs: [[4, 6]], attributes: { perm: [1, 0] } },
  Unsqueeze: { inputs: [[4, 6], { ints: [0] }] },
};

function model(op, type, { inputs, attributes = {}, outputs, output }) {
  const initializer = [];
  const value = (name, elemType, shape) => ({
    name,
    type: { tensorType: { elemType, shape: shape && { dim: shape.map((dimValue) => ({ dimValue })) } } },
  });
  const input = [];
  const names = inputs.map((given, i) => {
    const name = `x${i}`;
    if (given.ints) {
      const rawData = new Uint8Array(BigInt64Array.from(given.ints.map(BigInt)).buffer);
      initializer.push({ name, dataType: DataType.INT64, dims: [given.ints.length], rawData });
    } else if (typeof given[0] === 'string') input.push(value(name, types[given[0]], given[1]));
    else input.push(value(name, types[type], given));
    return name;
  });
  const given = outputs ?? [output];
  const { AttributeType } = onnx.AttributeProto;
  const attribute = Object.entries(attributes).map(([name, set]) =>
    Array.isArray(set) ? { name, type: AttributeType.INTS, ints: set } : { name, type: AttributeType.INT, i: set },
  );
  const node = [{ opType: op, name: op, input: names, output: given.map((_, i) => `y${i}`), attribute }];
  const output_ = given.map((other, i) => value(`y${i}`, types[other ?? type]));
  return onnx.ModelProto.encode({
    irVersion: 9,
    opsetImport: [{ domain: '', version: opset }],
    graph: { name: 'one', node, input, output: output_, initializer },
  }).finish();
}

const runtime = new Runtime({ device: cudaDevice(0) });
function hasKernel(bytes) {
  try {
    runtime.createSession(bytes).release();
    return true;
  } catch {
    return false;
  }
}

const table = {};
for (const [op, spec] of Object.entries(operators)) {
  table[op] = (spec.only ?? typeNames).filter((type) => hasKernel(model(op, type, spec)));
}
// from → to; an input of one type, so that the cast is not removed
table.Cast = typeNames.filter((from) =>
  typeNames
    .filter((to) => to !== from)
    .every((to) => hasKernel(model('Cast', from, { ...unary, attributes: { to: types[to] }, output: to }))),
);
const golden = {
  source: `onnxruntime-gpu ${runtime.api.version}: CUDAExecutionProvider, asked with models of one node`,
  opset,
  types: typeNames,
  operators: Object.fromEntries(Object.entries(table).sort(([a], [b]) => (a < b ? -1 : 1))),
};
runtime.release();
const text = JSON.stringify(golden, null, 1).replace(/\[\s+([^\]]*?)\s+\]/g, (_, list) => `[${list.replace(/\s+/g, ' ')}]`);
const out = process.argv[2] ?? fileURLToPath(new URL('cuda-kernels.json', import.meta.url));
writeFileSync(out, `${text}\n`);
