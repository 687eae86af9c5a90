/** The files of a checkpoint; one that has them all is whole. */
export const checkpointFiles = {
  model: 'model.safetensors',
  optimizer: 'optimizer.safetensors',
  state: 'state.json',
} as const;

export type CheckpointFile = (typeof checkpointFiles)[keyof typeof checkpointFiles];

export const allCheckpointFiles: readonly CheckpointFile[] = Object.values(checkpointFiles);

/** Their digests, as `sha256sum -c` reads them. Checkpoints of earlier versions have none. */
export const digestsFile = 'SHA256SUMS';
