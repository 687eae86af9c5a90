/** Models byte by byte, so that `runtime` needs no protobuf. Field numbers are those of onnx.proto. */

const field = (number: number, bytes: number[]): number[] => [(number << 3) | 2, bytes.length, ...bytes];
const int = (number: number, value: number): number[] => [number << 3, value];
const text = (value: string): number[] => [...Buffer.from(value)];

/** y = x, float32 of any shape. */
export function identityModel(): Uint8Array {
  return modelOf(node('Identity', 'x', 'y'));
}

/** y = −x, float32 of any shape, computed in float16. */
export function float16Model(): Uint8Array {
  const [float32, float16] = [1, 10]; // TensorProto.DataType
  // AttributeProto: name, i, and type INT, whose field number 20 takes a tag of two bytes
  const to = (type: number) => [...field(1, text('to')), ...int(3, type), 0xa0, 0x01, 2];
  const cast = (input: string, output: string, type: number) => node('Cast', input, output, to(type));
  return modelOf(cast('x', 'a', float16), node('Neg', 'a', 'b'), cast('b', 'y', float32));
}

function node(op: string, input: string, output: string, attribute: number[] = []): number[] {
  return [
    ...field(1, text(input)),
    ...field(2, text(output)),
    ...field(4, text(op)),
    ...(attribute.length > 0 ? field(5, attribute) : []),
  ];
}

function modelOf(...nodes: number[][]): Uint8Array {
  const tensor = field(1, int(1, 1)); // float32
  const valueInfo = (value: string) => [...field(1, text(value)), ...field(2, tensor)];
  const graph = [
    ...nodes.flatMap((bytes) => field(1, bytes)),
    ...field(2, text('model')),
    ...field(11, valueInfo('x')),
    ...field(12, valueInfo('y')),
  ];
  return Uint8Array.from([...int(1, 8), ...field(7, graph), ...field(8, int(2, 13))]);
}
