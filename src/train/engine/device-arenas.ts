import type { ArenaLayout, ManifestParameter } from '../../artifact/manifest.js';
import type { AverageName } from '../../model/optim/optimizer.js';
import { lrScaleOf } from '../../model/parameters.js';
import type { Communicator } from '../../runtime/comm/communicator.js';
import type { DeviceHeap, DeviceTensor } from '../../runtime/device-heap.js';
import type { Runtime } from '../../runtime/runtime.js';
import { alignedFloat32Array, type BoundTensor } from '../../runtime/tensor.js';
import { type Shape, sizeOf } from '../../util/shape.js';
import { type ModelState, sliceOf } from './model-state.js';

/** What is changed in one run of a graph over trained parameters: some of those of one group and learning rate. */
export interface ArenaPart {
  readonly decays: boolean;
  readonly lrScale: number;
  /** In elements. */
  readonly offset: number;
  readonly shape: readonly [number];
}

/** One kind of numbers of all parameters: their values, their gradients, or a running average. */
interface Arena {
  /** Those from an offset on; in memory of one tensor each, only as many as that tensor has. */
  at(offset: number, shape: Shape): BoundTensor;
  /** Copies the host's numbers to the device, and back. */
  upload(): void;
  download(): void;
}

/**
 * A model's parameters, gradients and running averages in the memory that the device computes in, for a whole run: the host's
 * arenas themselves, arenas of the device, or a buffer for each tensor. `ModelState` has their values at the start, and
 * after each `download`.
 */
export class DeviceArenas {
  readonly #runtime: Runtime;
  readonly #state: ModelState;
  readonly #tensors: BoundTensor[] = [];
  /** Of the host, zeros where the device has memory of its own and no other rank adds to them. */
  readonly #hostGradients: Float32Array;
  readonly #parameters: Arena;
  readonly #gradients: Arena;
  readonly #averages: ReadonlyMap<AverageName, Arena>;

  constructor(runtime: Runtime, state: ModelState) {
    this.#runtime = runtime;
    this.#state = state;
    const { trained, manifest } = state;
    this.#parameters = this.#arena(state.parameters, manifest.parameters);
    // padding between tensors is updated with them: zeros stay zeros
    this.#hostGradients = alignedFloat32Array(manifest.arena.trained);
    this.#gradients = this.#arena(this.#hostGradients, trained);
    this.#averages = new Map([...state.averages].map(([name, array]) => [name, this.#arena(array, trained)]));
    for (const kind of [this.#parameters, this.#gradients, ...this.#averages.values()]) kind.upload();
  }

  parameter({ offset, shape }: ArenaPlace): BoundTensor {
    return this.#parameters.at(offset, shape);
  }

  gradient({ offset, shape }: ArenaPlace): BoundTensor {
    return this.#gradients.at(offset, shape);
  }

  average(name: AverageName, { offset, shape }: ArenaPlace): BoundTensor {
    const arena = this.#averages.get(name);
    if (arena === undefined) throw new Error(`DeviceArenas: expected ${name} to be kept, it is not`);
    return arena.at(offset, shape);
  }

  /** Zeros for all gradients. Only where the device has the host's memory: elsewhere the graph clears them. */
  clearGradients(): void {
    if (this.#gradients instanceof HostArena) this.#hostGradients.fill(0);
  }

  /** Each gradient becomes its sum over all ranks. */
  async sumGradients(communicator: Communicator): Promise<void> {
    if (communicator.size === 1) return;
    this.#gradients.download();
    await communicator.sum(this.#hostGradients);
    this.#gradients.upload();
  }

  /**
   * Trained parameters, a part for each run. A kernel takes all of one group and learning rate at once, standard operators
   * so much that what they pass on stays in the cache; where there is no arena it is a tensor.
   */
  parts(hasKernel: boolean): ArenaPart[] {
    const { device } = this.#runtime;
    const { trained, manifest } = this.#state;
    if (!device.hasArena) {
      return trained.map(({ offset, shape, ...spec }) => ({
        decays: spec.group === 'decayed',
        lrScale: lrScaleOf(spec),
        offset,
        shape: [sizeOf(shape)],
      }));
    }
    const most = hasKernel ? manifest.arena.trained : (device.optimizerElements ?? manifest.arena.chunk);
    return cutRuns(runsOf(trained, manifest.arena), most);
  }

  /** Brings parameters and running averages back into the host's arrays. */
  download(): void {
    for (const kind of [this.#parameters, ...this.#averages.values()]) kind.download();
  }

  release(): void {
    // views before the memory they look into
    for (const tensor of this.#tensors.reverse()) tensor.release();
    this.#tensors.length = 0;
  }

  #arena(array: Float32Array, parameters: readonly ManifestParameter[]): Arena {
    const keep = <T extends BoundTensor>(tensor: T): T => {
      this.#tensors.push(tensor);
      return tensor;
    };
    const { heap, device } = this.#runtime;
    if (heap === undefined) return new HostArena(this.#runtime, array, keep);
    const pieces = device.hasArena
      ? [{ offset: 0, values: array }]
      : parameters.map((parameter) => ({ offset: parameter.offset, values: sliceOf(array, parameter) }));
    return new DeviceArena(this.#runtime, heap, pieces, keep);
  }
}

/** Trained parameters that lie together and learn alike, with the padding behind them. */
function runsOf(trained: readonly ManifestParameter[], arena: ArenaLayout): ArenaPart[] {
  const starts: { decays: boolean; lrScale: number; offset: number }[] = [];
  for (const parameter of trained.toSorted((a, b) => a.offset - b.offset)) {
    const { offset, group } = parameter;
    const next = { decays: group === 'decayed', lrScale: lrScaleOf(parameter), offset };
    const last = starts.at(-1);
    if (last?.decays !== next.decays || last.lrScale !== next.lrScale) starts.push(next);
  }
  return starts.map((start, index) => {
    const end = starts[index + 1]?.offset ?? arena.trained;
    return { ...start, shape: [end - start.offset] };
  });
}

function cutRuns(runs: readonly ArenaPart[], most: number): ArenaPart[] {
  return runs.flatMap((run) => {
    const [size] = run.shape;
    return Array.from(
      { length: Math.ceil(size / most) },
      (_, i): ArenaPart => ({
        ...run,
        offset: run.offset + i * most,
        shape: [Math.min(most, size - i * most)],
      }),
    );
  });
}

/** Where a tensor is in every arena. */
type ArenaPlace = Pick<ManifestParameter, 'offset' | 'shape'>;

type Keep = <T extends BoundTensor>(tensor: T) => T;

/** The host's array itself. */
class HostArena implements Arena {
  readonly #array: Float32Array;
  readonly #runtime: Runtime;
  readonly #keep: Keep;

  constructor(runtime: Runtime, array: Float32Array, keep: Keep) {
    this.#runtime = runtime;
    this.#array = array;
    this.#keep = keep;
  }

  at(offset: number, shape: Shape): BoundTensor {
    return this.#keep(this.#runtime.tensor(this.#array.subarray(offset, offset + sizeOf(shape)), shape));
  }

  upload(): void {}
  download(): void {}
}

/** Pieces of memory of the device: one for all, or one a parameter. */
class DeviceArena implements Arena {
  readonly #runtime: Runtime;
  readonly #heap: DeviceHeap;
  readonly #pieces: readonly { offset: number; values: Float32Array; tensor: DeviceTensor }[];
  readonly #keep: Keep;

  constructor(
    runtime: Runtime,
    heap: DeviceHeap,
    pieces: readonly { offset: number; values: Float32Array }[],
    keep: Keep,
  ) {
    this.#runtime = runtime;
    this.#heap = heap;
    this.#keep = keep;
    this.#pieces = pieces.map((piece) => ({ ...piece, tensor: keep(heap.allocate([piece.values.length])) }));
  }

  at(offset: number, shape: Shape): BoundTensor {
    const piece = this.#pieces.find(
      (each) => each.offset <= offset && offset < each.offset + each.values.length,
    );
    if (piece === undefined) throw new RangeError(`DeviceArena: expected an offset inside, got ${offset}`);
    return this.#keep(this.#heap.view(piece.tensor, shape, offset - piece.offset));
  }

  upload(): void {
    this.#copy((host, device) => this.#heap.copy(host, device));
  }

  download(): void {
    this.#copy((host, device) => this.#heap.copy(device, host));
  }

  #copy(copy: (host: BoundTensor, device: BoundTensor) => void): void {
    for (const { values, tensor } of this.#pieces) {
      const host = this.#runtime.tensor(values, tensor.shape);
      try {
        copy(host, tensor);
      } finally {
        host.release();
      }
    }
  }
}
