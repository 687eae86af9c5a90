// Logits of a classifier by our evaluation graph: uint8 images [B, H, W, 3] in, float32 [B, C] out.
import { readFileSync, writeFileSync } from 'node:fs';
import { openClassifier } from '../../dist/jobs/open-classifier.js';
import { Runtime } from '../../dist/runtime/runtime.js';
import { loadClassifier } from '../../dist/weights/foreign/classifier.js';

const { checkpoint, images, count, logits } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const classifier = await loadClassifier(checkpoint);
const runtime = new Runtime({ threads: 1 });
const evaluator = openClassifier(runtime, classifier, count);
await evaluator.run({ images: new Uint8Array(readFileSync(images)) });
writeFileSync(logits, evaluator.outputs.logits);
evaluator.release();
runtime.release();
