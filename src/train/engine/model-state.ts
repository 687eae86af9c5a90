import type { Manifest, ManifestParameter } from '../../artifact/manifest.js';
import { initialize } from '../../model/initialize.js';
import { isTrained } from '../../model/parameters.js';
import { prefault } from '../../runtime/prefault.js';
import { alignedFloat32Array } from '../../runtime/tensor.js';
import { sizeOf } from '../../util/shape.js';

/** The numbers that training changes, each kind in one flat arena as the manifest lays it out. */
export class ModelState {
  readonly manifest: Manifest;
  /** float32 [arena.total] */
  readonly parameters: Float32Array;
  /** AdamW's running means of the gradient and of its square; float32 [arena.trained] */
  readonly expAvg: Float32Array;
  readonly expAvgSq: Float32Array;

  constructor(manifest: Manifest) {
    const { total, trained } = manifest.arena;
    this.manifest = manifest;
    this.parameters = alignedFloat32Array(total);
    this.expAvg = alignedFloat32Array(trained);
    this.expAvgSq = alignedFloat32Array(trained);
  }

  /** Fresh weights, a pure function of the seed. */
  initialize(seed: number): void {
    prefault(this.expAvg, this.expAvgSq);
    for (const [index, parameter] of this.manifest.parameters.entries())
      initialize(sliceOf(this.parameters, parameter), parameter, seed, index);
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
