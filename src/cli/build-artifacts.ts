import type { Options } from 'yargs';
import { buildArtifacts } from '../artifact/build.js';
import { buildOnnxRuntimeTraining } from '../artifact/onnxruntime-training/build.js';
import { type ArtifactFiles, writeArtifacts } from '../artifact/write.js';
import { maeTask } from '../model/mae.js';
import { modelOf } from '../model/presets.js';
import { pretrainDefaults } from '../train/options.js';
import { UserError } from '../util/errors.js';
import { outputFlag } from './common-flags.js';
import { type Arguments, choice, integer, number, text } from './flags.js';
import { modelFlags } from './model-flags.js';
import { print } from './print.js';

const runtimes = ['portable', 'onnxruntime-training'] as const;

export const options = {
  ...modelFlags,
  runtime: {
    type: 'string',
    choices: runtimes,
    default: runtimes[0],
    coerce: text('runtime'),
    requiresArg: true,
    describe: 'What will run them: mae and any ONNX Runtime, or Microsoft’s on-device training 1.19',
  },
  kernels: {
    type: 'boolean',
    default: false,
    describe:
      'Use the custom operators of mae’s own library, which then have to be there; else those of ONNX alone',
  },
  precision: {
    type: 'string',
    coerce: choice('precision', ['fp32', 'fp16', 'bf16']),
    default: 'fp32',
    requiresArg: true,
    describe:
      'Of the products in the training graph: fp16 or bf16 for devices that are fast at it (--kernels: fp32, bf16)',
  },
  seed: {
    coerce: integer('seed', { min: 0 }),
    requiresArg: true,
    describe: `onnxruntime-training: seed of the weights in the checkpoint (default: ${pretrainDefaults.seed})`,
  },
  'weight-decay': {
    coerce: number('weight-decay', { min: 0 }),
    requiresArg: true,
    describe: 'onnxruntime-training: weight decay of every trained parameter (default: 0)',
  },
  output: outputFlag('Folder for training_model.onnx, eval_model.onnx, optimizer_model.onnx and the rest'),
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  const artifacts = argv.runtime === 'portable' ? portable(argv) : onnxRuntimeTraining(argv);
  writeArtifacts(artifacts, argv.output);
  for (const [name, { byteLength }] of artifacts.files) print(`${argv.output}/${name}  ${byteLength} bytes`);
}

function portable(argv: Arguments<typeof options>): ArtifactFiles {
  for (const [flag, value] of Object.entries({ seed: argv.seed, 'weight-decay': argv.weightDecay })) {
    if (value !== undefined) {
      throw new UserError(
        `--${flag}: expected with --runtime onnxruntime-training only; mae pretrain takes its own`,
      );
    }
  }
  const { batchSize, accumIter, gradCheckpointing, kernels, precision } = argv;
  if (kernels && precision === 'fp16')
    throw new UserError('--precision: expected fp32 or bf16 with --kernels, got fp16');
  return buildArtifacts(maeTask(modelOf(argv), argv), {
    batchSize,
    accumulate: accumIter > 1,
    gradCheckpointing,
    ...(kernels && precision !== 'fp16' && { kernelPrecision: precision }),
    ...(!kernels && precision !== 'fp32' && { graphPrecision: precision }),
  });
}

function onnxRuntimeTraining(argv: Arguments<typeof options>): ArtifactFiles {
  const { seed = pretrainDefaults.seed, weightDecay = 0, gradCheckpointing } = argv;
  if (gradCheckpointing) throw new UserError('--grad-checkpointing: expected with --runtime portable only');
  if (argv.precision !== 'fp32') throw new UserError('--precision: expected with --runtime portable only');
  if (argv.kernels) throw new UserError('--kernels: expected with --runtime portable only');
  return { files: buildOnnxRuntimeTraining(maeTask(modelOf(argv), argv), { ...argv, seed, weightDecay }) };
}
