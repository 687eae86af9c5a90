/** Builds the artefacts of a model in a process of its own: prints the SHA-256 of each file as JSON. */

import { createHash } from 'node:crypto';
import type { ModelConfig } from '../../src/model/config.js';
import { type MaeArtifactOptions as ArtifactOptions, buildArtifacts } from '../support/mae-graphs.js';

const [config, options] = process.argv.slice(2).map((text) => JSON.parse(text)) as [
  ModelConfig,
  ArtifactOptions,
];
// nodes made before must not show in the bytes
buildArtifacts(config, { ...options, batchSize: options.batchSize + 1 });
const files = [...buildArtifacts(config, options).files];
const hashes = files.map(([name, bytes]) => [name, createHash('sha256').update(bytes).digest('hex')]);
process.stdout.write(JSON.stringify(Object.fromEntries(hashes)));
