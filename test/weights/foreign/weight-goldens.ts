/** goldens: models as other libraries save them; `make_weights.py` says how they were made. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = new URL('goldens/', import.meta.url);

export function weightsPath(name: string): string {
  return fileURLToPath(new URL(name, folder));
}

/** SHA-256 of the float32 bytes of each tensor by its published name. */
export type Digests = Readonly<Record<string, string>>;

export interface TransformersGolden {
  /** uint8 [2, 32, 32, 3] */
  readonly images: Uint8Array;
  /** ids_shuffle of `mae reconstruct --seed 0` for two images. */
  readonly ids: readonly number[][];
  /** Loss of each image under them. */
  readonly losses: readonly number[];
  /** Tokens of image 0 with nothing removed, float32 [1, 17, 24]. */
  readonly latent: Float32Array;
  readonly tensors: Digests;
}

export function readTransformersGolden(name: 'hf-4' | 'hf-5'): TransformersGolden {
  const { images, latent, ...rest } = readJson(name) as { images: string; latent: string };
  return {
    ...(rest as Pick<TransformersGolden, 'ids' | 'losses' | 'tensors'>),
    images: decoded(images),
    latent: new Float32Array(decoded(latent).buffer),
  };
}

function decoded(base64: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(base64, 'base64'));
}

/** Tensors of training.pth and of encoder-half.pth. */
export function readPthDigests(): { training: Digests; encoder: Digests } {
  return readJson('pth') as { training: Digests; encoder: Digests };
}

function readJson(name: string): unknown {
  return JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'));
}

export function digest({ buffer, byteOffset, byteLength }: Float32Array): string {
  return createHash('sha256')
    .update(new Uint8Array(buffer, byteOffset, byteLength))
    .digest('hex');
}

export function digestsOf(parameters: ReadonlyMap<string, Float32Array>): Digests {
  return Object.fromEntries([...parameters].map(([name, data]) => [name, digest(data)]));
}
