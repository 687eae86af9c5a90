/** An ONNX model of one Identity of float32 of any shape, byte by byte, so that `runtime` needs no protobuf. */
export function identityModel(): Uint8Array {
  const field = (number: number, bytes: number[]) => [(number << 3) | 2, bytes.length, ...bytes];
  const int = (number: number, value: number) => [number << 3, value];
  const text = (value: string) => [...Buffer.from(value)];
  const tensor = field(1, int(1, 1));
  const valueInfo = (value: string) => [...field(1, text(value)), ...field(2, tensor)];
  const node = [...field(1, text('x')), ...field(2, text('y')), ...field(4, text('Identity'))];
  const graph = [
    ...field(1, node),
    ...field(2, text('identity')),
    ...field(11, valueInfo('x')),
    ...field(12, valueInfo('y')),
  ];
  return Uint8Array.from([...int(1, 8), ...field(7, graph), ...field(8, int(2, 13))]);
}
