/**
 * What each kernel brings alone: a ViT step with one family of kernels, all else in ONNX Runtime's own operators.
 *
 *   node test/bench/kernel-ladder.mjs [--model NAME] [--batch-size B] [--steps N]
 *
 * Prints a Markdown table. Every row is measured in turns with the row that has none.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildArtifacts } from '../../dist/artifact/build.js';
import { trainingGraph } from '../../dist/artifact/graphs.js';
import {
  gradientNormModelFile,
  optimizerModelFile,
  trainingModelFile,
} from '../../dist/artifact/manifest.js';
import { writeArtifacts } from '../../dist/artifact/write.js';
import { noiseBatch } from '../../dist/bench/noise-batch.js';
import { expandDefinitions } from '../../dist/compiler/lowering/expand.js';
import { fuseForKernels } from '../../dist/compiler/lowering/fuse.js';
import { encodeModel } from '../../dist/compiler/onnx/encode.js';
import { maeTask } from '../../dist/model/mae.js';
import { loadModelConfig } from '../../dist/model/presets.js';
import { findKernels } from '../../dist/runtime/kernels.js';
import { Runtime } from '../../dist/runtime/runtime.js';
import { ModelState } from '../../dist/train/engine/model-state.js';
import { Trainer } from '../../dist/train/engine/trainer.js';

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'mae_vit_base_patch16' },
    'batch-size': { type: 'string', default: '8' },
    steps: { type: 'string', default: '3' },
  },
});
const config = loadModelConfig(values.model);
const batchSize = Number(values['batch-size']);
const kernels = findKernels();
if (!('path' in kernels)) throw new Error(`no kernels: ${kernels.reason}`);

const families = {
  none: [],
  'matrix products, float32': ['FusedGemm'],
  'matrix products, bfloat16': ['FusedGemm'],
  attention: ['Attention', 'AttentionGrad'],
  'layer norm': ['FusedLayerNormalization', 'LayerNormalizationGrad'],
  'GELU backward': ['GeluGrad'],
  'sums: bias gradients, gradient norm': ['ColumnSums', 'SumOfSquares'],
  AdamW: ['AdamW'],
};

const task = maeTask(config, { maskRatio: 0.75, normPixLoss: true });
const options = { batchSize, accumulate: false };

/** Median seconds of forward and backward, and of the optimizer. */
async function measure(name, ops) {
  const portable = buildArtifacts(task, options);
  const withAdamW = ops.includes('AdamW')
    ? buildArtifacts(task, { ...options, kernelPrecision: 'fp32' })
    : portable;
  const withNorm = ops.includes('SumOfSquares')
    ? buildArtifacts(task, { ...options, kernelPrecision: 'fp32' })
    : portable;
  const graph = trainingGraph(task, options);
  const fused = ops.length === 0 ? graph : fuseForKernels(graph, { bfloat16: name.endsWith('bfloat16') });
  const files = new Map(portable.files)
    .set(trainingModelFile, encodeModel(expandDefinitions(fused, new Set(ops))))
    .set(optimizerModelFile, withAdamW.files.get(optimizerModelFile))
    .set(gradientNormModelFile, withNorm.files.get(gradientNormModelFile));
  const folder = mkdtempSync(join(tmpdir(), 'mae-ladder-'));
  const runtime = new Runtime({ kernelsPath: kernels.path });
  try {
    writeArtifacts({ files }, folder);
    const state = new ModelState(withAdamW.manifest);
    state.initialize(0);
    const trainer = new Trainer(runtime, folder, state);
    const batch = noiseBatch(withAdamW.manifest);
    const seconds = [];
    for (let step = 1; step <= Number(values.steps) + 1; step++) {
      const start = performance.now();
      await trainer.forwardBackward(batch, 0, 1);
      await trainer.reduce(0);
      const middle = performance.now();
      await trainer.update(step, { learningRate: 1e-4, weightDecay: 0.05 });
      if (step > 1) seconds.push([(middle - start) / 1000, (performance.now() - middle) / 1000]);
    }
    trainer.release();
    return seconds;
  } finally {
    runtime.release();
    rmSync(folder, { recursive: true });
  }
}

const median = (numbers) => numbers.toSorted((a, b) => a - b)[numbers.length >> 1];
console.log('| kernels | forward and backward, s | AdamW, s | step, s | saved, ms |');
console.log('|---|---|---|---|---|');
for (const [name, ops] of Object.entries(families)) {
  const [plain, with_] = [await measure('none', []), ops.length === 0 ? [] : await measure(name, ops)];
  const used = ops.length === 0 ? plain : with_;
  const [forwardBackward, optimizer] = [0, 1].map((part) => median(used.map((each) => each[part])));
  const total = (all) => median(all.map(([a, b]) => a + b));
  const saved = ops.length === 0 ? '' : ((total(plain) - total(used)) * 1000).toFixed(0);
  const cells = [forwardBackward, optimizer, total(used)].map((number) => number.toFixed(3));
  console.log(`| ${name} | ${cells.join(' | ')} | ${saved} |`);
}
