import type { Manifest } from '../artifact/manifest.js';
import { emptyBatch, type HostBatch } from '../train/engine/batch-tensors.js';
import { RandomStream } from '../util/random.js';

/** Images of noise and random permutations: what they show does not change what a step costs. */
export function noiseBatch({ inputs }: Manifest): HostBatch {
  const random = new RandomStream(0, 'sample');
  const batch = emptyBatch(inputs);
  for (const { name, shape, content } of inputs) {
    const numbers = batch[name]!;
    if (content === 'pixels') for (let i = 0; i < numbers.length; i++) numbers[i] = random.int(256);
    if (content !== 'permutation') continue;
    const [rows, length] = shape as [number, number];
    for (let row = 0; row < rows; row++) {
      const ids = random.permutation(length);
      (numbers as BigInt64Array).set(BigInt64Array.from(ids, BigInt), row * length);
    }
  }
  return batch;
}
