import type { Pixels } from '../decode/pixels.js';

/** A picture that operators change in place; `scratch` is as long as `data`, for those that read what they overwrite. */
export interface Picture extends Pixels {
  readonly scratch: Uint8Array;
}
