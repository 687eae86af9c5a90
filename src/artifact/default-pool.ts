import type { Pool } from './graphs.js';

/** Best for frozen features: the loss of a Masked Autoencoder asks nothing of the class token. */
export const defaultPool = 'mean' satisfies Pool;
