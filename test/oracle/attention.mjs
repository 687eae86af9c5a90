// Attention of the class token by the graph of reports: uint8 images [B, H, W, 3] in, float32 [B, heads, 1 + L] out.
import { readFileSync, writeFileSync } from 'node:fs';
import { attentionParameters } from '../../dist/artifact/attention-graph.js';
import { classAttention } from '../../dist/jobs/report/attention.js';
import { Runtime } from '../../dist/runtime/runtime.js';
import { loadWeights } from '../../dist/weights/foreign/weights.js';

const { checkpoint, images, count, attention } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { config, parameters } = await loadWeights(checkpoint, attentionParameters);
const runtime = new Runtime({ threads: 1 });
const bytes = new Uint8Array(readFileSync(images));
const size = bytes.length / count;
const pictures = Array.from({ length: count }, (_, i) => bytes.subarray(i * size, (i + 1) * size));
const maps = await classAttention(runtime, config, parameters, pictures);
writeFileSync(
  attention,
  Buffer.concat(maps.map((map) => Buffer.from(map.buffer, map.byteOffset, map.byteLength))),
);
runtime.release();
