import { Builder, type Offset } from 'flatbuffers';
import { bytesOf } from '../../util/bytes.js';
import { type Shape, sizeOf } from '../../util/shape.js';

/**
 * The checkpoint of ONNX Runtime's training session: a FlatBuffer of the schema `ort_training_checkpoint.fbs`
 * (and `Tensor` of `ort.fbs`) in ONNX Runtime 1.19. Numbers of fields are places in these schemas.
 */
const identifier = 'ODTC';
const formatVersion = 2;
const fields = {
  checkpoint: { count: 4, version: 0, moduleState: 1 },
  moduleState: { count: 4, requiresGradParams: 0, frozenParams: 1, hasExternalData: 3 },
  tensor: { count: 7, name: 0, dims: 2, dataType: 3, rawData: 4, externalDataOffset: 6 },
} as const;
/** `TensorDataType.FLOAT` */
const float32 = 1;
/** An offset that stands for none. */
const noExternalData = -1n;
/** Tables, dims, names and padding of a tensor, generously. */
const bytesAroundTensor = 512;

export interface CheckpointTensor {
  readonly name: string;
  readonly shape: Shape;
  readonly trained: boolean;
  /** The numbers, or where they start in the file `<checkpoint>.data`, in bytes. */
  readonly data: Float32Array | { readonly externalOffset: number };
}

/**
 * The bytes of a checkpoint that holds parameters and no state of an optimizer. FlatBuffers are built from their
 * end, so `tensors` are written first and no more than one has to be in memory beside the buffer.
 */
export function encodeCheckpoint(tensors: Iterable<CheckpointTensor>, inlineBytes: number): Uint8Array {
  // room for all: a builder that runs out of it doubles, past the largest size it can have
  const builder = new Builder(inlineBytes + bytesAroundTensor);
  const trained: Offset[] = [];
  const frozen: Offset[] = [];
  let external = false;
  for (const tensor of tensors) {
    (tensor.trained ? trained : frozen).push(encodeTensor(builder, tensor));
    if (!(tensor.data instanceof Float32Array)) external = true;
  }
  const requiresGradParams = offsetVector(builder, trained);
  const frozenParams = offsetVector(builder, frozen);

  const { moduleState: state, checkpoint } = fields;
  builder.startObject(state.count);
  builder.addFieldOffset(state.requiresGradParams, requiresGradParams, 0);
  builder.addFieldOffset(state.frozenParams, frozenParams, 0);
  builder.addFieldInt8(state.hasExternalData, Number(external), 0);
  const moduleState = builder.endObject();

  builder.startObject(checkpoint.count);
  builder.addFieldInt32(checkpoint.version, formatVersion, 0);
  builder.addFieldOffset(checkpoint.moduleState, moduleState, 0);
  builder.finish(builder.endObject(), identifier);
  return builder.asUint8Array();
}

/** How many bytes to have ready for a tensor inside the checkpoint. */
export function inlineSize(shape: Shape, external: boolean): number {
  return bytesAroundTensor + (external ? 0 : 4 * sizeOf(shape));
}

function encodeTensor(builder: Builder, { name, shape, data }: CheckpointTensor): Offset {
  const inline = data instanceof Float32Array;
  const nameOffset = builder.createString(name);
  const dims = int64Vector(builder, shape);
  const rawData = inline ? builder.createByteVector(bytesOf(data)) : 0;
  const { tensor } = fields;
  builder.startObject(tensor.count);
  builder.addFieldOffset(tensor.name, nameOffset, 0);
  builder.addFieldOffset(tensor.dims, dims, 0);
  builder.addFieldInt32(tensor.dataType, float32, 0);
  if (inline) builder.addFieldOffset(tensor.rawData, rawData, 0);
  else builder.addFieldInt64(tensor.externalDataOffset, BigInt(data.externalOffset), noExternalData);
  return builder.endObject();
}

function int64Vector(builder: Builder, numbers: readonly number[]): Offset {
  builder.startVector(8, numbers.length, 8);
  for (const number of numbers.toReversed()) builder.addInt64(BigInt(number));
  return builder.endVector();
}

function offsetVector(builder: Builder, offsets: readonly Offset[]): Offset {
  builder.startVector(4, offsets.length, 4);
  for (const offset of offsets.toReversed()) builder.addOffset(offset);
  return builder.endVector();
}
