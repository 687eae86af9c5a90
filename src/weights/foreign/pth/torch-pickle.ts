/** What torch.save puts into a pickle beside containers: tensors over storages, and some inert names. */
import { UserError } from '../../../util/errors.js';
import { byteLength, type Dtype, dtypeBytes } from '../../checkpoint/dtypes.js';
import { type Builder, Fields, Global, type PickleValue, unpickle } from './pickle.js';

/** The numbers that tensors are views of: the entry data/<key> of the file. */
export class Storage {
  readonly key: string;
  /** Undefined for an untyped one: its tensors say what they are. */
  readonly dtype: Dtype | undefined;

  constructor(key: string, dtype: Dtype | undefined) {
    this.key = key;
    this.dtype = dtype;
  }
}

/** A view of a storage; offset and strides count elements. Not yet checked against the storage. */
export class TorchTensor {
  readonly storage: Storage;
  readonly dtype: Dtype;
  readonly offset: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];

  constructor(
    storage: Storage,
    dtype: Dtype,
    offset: number,
    shape: readonly number[],
    strides: readonly number[],
  ) {
    this.storage = storage;
    this.dtype = dtype;
    this.offset = offset;
    this.shape = shape;
    this.strides = strides;
  }
}

const dtypeOfStorage: Readonly<Record<string, Dtype>> = {
  'torch.FloatStorage': 'F32',
  'torch.HalfStorage': 'F16',
  'torch.BFloat16Storage': 'BF16',
  'torch.DoubleStorage': 'F64',
  'torch.LongStorage': 'I64',
  'torch.IntStorage': 'I32',
  'torch.ShortStorage': 'I16',
  'torch.CharStorage': 'I8',
  'torch.ByteStorage': 'U8',
  'torch.BoolStorage': 'BOOL',
};

const dtypeOfName: Readonly<Record<string, Dtype>> = {
  'torch.float32': 'F32',
  'torch.float16': 'F16',
  'torch.bfloat16': 'BF16',
  'torch.float64': 'F64',
  'torch.int64': 'I64',
  'torch.int32': 'I32',
  'torch.int16': 'I16',
  'torch.int8': 'I8',
  'torch.uint8': 'U8',
  'torch.bool': 'BOOL',
  'torch.uint16': 'U16',
  'torch.uint32': 'U32',
  'torch.uint64': 'U64',
};

const inert: Builder = {};

/** The value that data.pkl of a .pth file describes. */
export function unpickleTorch(bytes: Uint8Array, path: string): PickleValue {
  const bad = (what: string) =>
    new UserError(
      `pth: expected tensors as torch.save writes them in ${path}, got ${what}; save it again with a recent torch`,
    );

  /** _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks), and v3 with a dtype after them. */
  const rebuild = ([storage, offset, shape, strides, , , dtypeGlobal]: PickleValue[]): TorchTensor => {
    if (!(storage instanceof Storage)) throw bad('a tensor without its storage');
    const dtype = dtypeGlobal instanceof Global ? dtypeOfName[dtypeGlobal.name] : storage.dtype;
    if (dtype === undefined) throw bad('a tensor of a type that is not read here');
    if (!isCount(offset) || !isCounts(shape) || !isCounts(strides) || shape.length !== strides.length) {
      throw bad('a tensor of impossible sizes');
    }
    return new TorchTensor(storage, dtype, offset, shape, strides);
  };

  const builders: Readonly<Record<string, Builder>> = {
    'torch._utils._rebuild_tensor_v2': { call: rebuild },
    'torch._utils._rebuild_tensor_v3': { call: rebuild },
    'torch._utils._rebuild_parameter': {
      call: ([data]) => {
        if (!(data instanceof TorchTensor)) throw bad('a parameter without its tensor');
        return data;
      },
    },
    'torch.Size': { call: ([sizes]) => (Array.isArray(sizes) ? sizes : []) },
    'torch.device': { call: () => new Fields('torch.device') },
    'torch.storage.UntypedStorage': inert,
    'collections.OrderedDict': {
      call: ([items]) => new Map(pairsOf(items)),
      create: () => new Map(),
    },
    // published training checkpoints keep their options in one
    'argparse.Namespace': { create: () => new Fields('argparse.Namespace') },
    'builtins.set': { call: setOf },
    '__builtin__.set': { call: setOf },
    'builtins.frozenset': { call: setOf },
    '__builtin__.frozenset': { call: setOf },
  };

  return unpickle(bytes, {
    path,
    find: (name) => {
      if (Object.hasOwn(builders, name)) return builders[name];
      return Object.hasOwn(dtypeOfStorage, name) || Object.hasOwn(dtypeOfName, name) ? inert : undefined;
    },
    // ('storage', type, key, device, number of elements)
    persistent: (id) => {
      if (
        !Array.isArray(id) ||
        id[0] !== 'storage' ||
        !(id[1] instanceof Global) ||
        typeof id[2] !== 'string'
      ) {
        throw bad('a reference to something else than a storage');
      }
      return new Storage(id[2], dtypeOfStorage[id[1].name]);
    },
  });
}

function pairsOf(items: PickleValue | undefined): [PickleValue, PickleValue][] {
  if (!Array.isArray(items)) return [];
  return items.filter((item) => Array.isArray(item) && item.length === 2);
}

function setOf([items]: PickleValue[]): Set<PickleValue> {
  return new Set(Array.isArray(items) ? items : []);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

// torch itself goes up to 64 axes
function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= 64 && value.every(isCount);
}

/** Bytes from a tensor's first to its last element in its storage, or why it has no place there. */
export function regionOf(
  tensor: TorchTensor,
  storageBytes: number,
): { start: number; bytes: number } | string {
  const { dtype, offset, shape, strides } = tensor;
  const itemBytes = dtypeBytes[dtype];
  const bytes = byteLength(dtype, shape);
  if (bytes === undefined) return `the impossible shape [${shape.slice(0, 8)}]`;
  if (bytes === 0) return { start: 0, bytes: 0 };
  const last = shape.reduce((sum, size, axis) => sum + (size - 1) * strides[axis]!, offset);
  if (!((last + 1) * itemBytes <= storageBytes)) {
    return `an end at byte ${(last + 1) * itemBytes} of only ${storageBytes}`;
  }
  // an expanded tensor repeats what the file has once: no limit to its size
  if (bytes > storageBytes) return `${bytes} bytes of elements over a storage of ${storageBytes}`;
  return { start: offset * itemBytes, bytes: (last + 1 - offset) * itemBytes };
}

/** The elements of a region one after another, in the order of their indices. */
export function gatherStrided(region: Uint8Array, tensor: TorchTensor): Uint8Array<ArrayBuffer> {
  const { shape, strides } = tensor;
  const itemBytes = dtypeBytes[tensor.dtype];
  const elements = shape.reduce((product, size) => product * size, 1);
  const out = new Uint8Array(elements * itemBytes);
  const index = new Array<number>(shape.length).fill(0);
  let from = 0;
  for (let i = 0; i < elements; i++) {
    for (let byte = 0; byte < itemBytes; byte++) out[i * itemBytes + byte] = region[from * itemBytes + byte]!;
    // the next index: the last axis first, as an odometer counts
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      from += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}

/** Whether the elements lie one after another; axes of size 1 may have any stride. */
export function isContiguous({ shape, strides }: TorchTensor): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}
