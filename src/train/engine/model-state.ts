import type { Manifest, ManifestParameter } from '../../artifact/manifest.js';
import { initialize } from '../../model/initialize.js';
import { type AverageName, averageNames } from '../../model/optim/optimizer.js';
import { isTrained } from '../../model/parameters.js';
import { prefault } from '../../runtime/prefault.js';
import { alignedFloat32Array } from '../../runtime/tensor.js';
import { sizeOf } from '../../util/shape.js';

/** The numbers that training changes, each kind in one flat arena as the manifest lays it out. */
export class ModelState {
  readonly manifest: Manifest;
  /** float32 [arena.total] */
  readonly parameters: Float32Array;
  /** Running averages of the gradient, and of the parameters where one is kept; each float32 [arena.trained] */
  readonly averages: ReadonlyMap<AverageName, Float32Array>;

  constructor(manifest: Manifest) {
    const { total, trained } = manifest.arena;
    this.manifest = manifest;
    this.parameters = alignedFloat32Array(total);
    const names = averageNames(manifest.optimizer, manifest.emaDecay);
    this.averages = new Map(names.map((name) => [name, alignedFloat32Array(trained)]));
  }

  average(name: AverageName): Float32Array {
    const average = this.averages.get(name);
    if (average === undefined) throw new Error(`ModelState: expected ${name} to be kept, it is not`);
    return average;
  }

  /** Fresh weights, a pure function of the seed. */
  initialize(seed: number): void {
    prefault(...this.averages.values());
    for (const [index, parameter] of this.manifest.parameters.entries())
      initialize(sliceOf(this.parameters, parameter), parameter, seed, index);
    this.startEma();
  }

  /** The moving average of parameters, where one is kept, starts as they are: call it where a run starts from others. */
  startEma(): void {
    this.averages.get('ema')?.set(this.parameters.subarray(0, this.manifest.arena.trained));
  }

  /** Whether every parameter is a finite number. */
  get isFinite(): boolean {
    let sum = 0;
    for (const value of this.parameters) sum += value * 0; // NaN for an infinity or a NaN, else ±0
    return sum === 0;
  }

  get trained(): ManifestParameter[] {
    return this.manifest.parameters.filter(isTrained);
  }
}

/** The part of an arena that belongs to a parameter. */
export function sliceOf(arena: Float32Array, { offset, shape }: ManifestParameter): Float32Array {
  return arena.subarray(offset, offset + sizeOf(shape));
}
