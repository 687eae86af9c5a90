import type { BatchInput } from '../../src/model/task.js';

export interface ImageShape {
  readonly batchSize: number;
  readonly height: number;
  readonly width: number;
  readonly patchCount: number;
}

/** What a batch of images with permutations of their patches holds. */
export function imageInputs({ batchSize, height, width, patchCount }: ImageShape): BatchInput[] {
  return [
    { name: 'images', type: 'uint8', shape: [batchSize, height, width, 3], content: 'pixels' },
    { name: 'ids_shuffle', type: 'int64', shape: [batchSize, patchCount], content: 'permutation' },
  ];
}
