/** Reads the checkpoint of ONNX Runtime's training session byte by byte, without the library that wrote it. */

export interface ReadTensor {
  readonly name: string;
  readonly dims: readonly number[];
  readonly dataType: number;
  readonly data: Float32Array | undefined;
  readonly externalOffset: number | undefined;
}

export interface ReadCheckpoint {
  readonly version: number;
  readonly trained: readonly ReadTensor[];
  readonly frozen: readonly ReadTensor[];
  readonly nominal: boolean;
  readonly external: boolean;
}

export function readCheckpoint(bytes: Uint8Array): ReadCheckpoint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const follow = (place: number): number => place + view.getUint32(place, true);
  /** The place of a table's field: its vtable has [bytes, table bytes, offset of field 0, of field 1, …]. */
  const field = (table: number, index: number): number | undefined => {
    const vtable = table - view.getInt32(table, true);
    const entry = 4 + 2 * index;
    if (entry >= view.getUint16(vtable, true)) return undefined;
    const offset = view.getUint16(vtable + entry, true);
    return offset === 0 ? undefined : table + offset;
  };
  const required = (table: number, index: number): number => {
    const place = field(table, index);
    if (place === undefined) throw new Error(`field ${index} is not there`);
    return place;
  };
  const vector = (place: number): { start: number; length: number } => {
    const start = follow(place);
    return { start: start + 4, length: view.getUint32(start, true) };
  };
  const bytesOf = (place: number): Uint8Array => {
    const { start, length } = vector(place);
    return Uint8Array.from(bytes.subarray(start, start + length));
  };
  const flag = (table: number, index: number): boolean => {
    const place = field(table, index);
    return place !== undefined && view.getUint8(place) === 1;
  };
  const tensor = (table: number): ReadTensor => {
    const dims = vector(required(table, 2));
    const raw = field(table, 4);
    const offset = field(table, 6);
    if (dims.start % 8 !== 0) throw new Error('dims are not aligned');
    return {
      name: Buffer.from(bytesOf(required(table, 0))).toString(),
      dims: Array.from({ length: dims.length }, (_, i) => Number(view.getBigInt64(dims.start + 8 * i, true))),
      dataType: view.getInt32(required(table, 3), true),
      data: raw === undefined ? undefined : new Float32Array(bytesOf(raw).buffer),
      externalOffset: offset === undefined ? undefined : Number(view.getBigInt64(offset, true)),
    };
  };
  const tensors = (place: number): ReadTensor[] => {
    const { start, length } = vector(place);
    return Array.from({ length }, (_, i) => tensor(follow(start + 4 * i)));
  };

  const checkpoint = follow(0);
  const state = follow(required(checkpoint, 1));
  return {
    version: view.getInt32(required(checkpoint, 0), true),
    trained: tensors(required(state, 0)),
    frozen: tensors(required(state, 1)),
    nominal: flag(state, 2),
    external: flag(state, 3),
  };
}
