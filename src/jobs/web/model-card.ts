import type { ExportPrecision } from '../../artifact/export-encoder.js';
import { webModels, webOpset } from '../../artifact/export-web.js';
import { formatInputSize, imageSize, type ModelConfig } from '../../model/config.js';
import { imagenetDeviation, imagenetMean } from '../../model/imagenet.js';
import { encoderParameters } from '../../model/parameters.js';
import { presetNameOf } from '../../model/presets.js';
import { lastLogged } from '../../train/log-file.js';
import { type RunConfig, readRunConfig } from '../../train/run-config.js';
import { sizeOf } from '../../util/shape.js';
import { version } from '../../util/version.js';
import { resolveCheckpoint } from '../../weights/checkpoint/resolve-checkpoint.js';
import { runPaths } from '../../weights/checkpoint/run-directory.js';
import type { Weights } from '../../weights/foreign/weights.js';
import { runtimeNeeded } from '../export-encoder.js';
import type { Fidelity } from './accuracy.js';

export interface WebModel {
  readonly precision: ExportPrecision;
  /** With the files of its weights. */
  readonly bytes: number;
  readonly fidelity: Fidelity;
}

/** What a run's directory tells of the weights. */
export interface Origin {
  readonly config: Pick<RunConfig, 'options' | 'dataset' | 'mae'>;
  readonly val: Readonly<Record<string, unknown>> | undefined;
  readonly probe: Readonly<Record<string, unknown>> | undefined;
}

/** The run of a checkpoint, if it lies in one that pretrained. */
export async function originOf(checkpoint: string, step: number): Promise<Origin | undefined> {
  const { runFolder } = await resolveCheckpoint(checkpoint);
  if (runFolder === undefined) return undefined;
  const config = await readRunConfig(runFolder);
  if (config === undefined) return undefined;
  const { log } = runPaths(runFolder);
  return {
    config,
    val: await lastLogged(log, 'val', step),
    probe: await lastLogged(log, 'probe', step),
  };
}

/** README.md of an exported folder. Paths of the machine that trained stay out of it: people publish it. */
export function modelCard(
  { config, step }: Pick<Weights, 'config' | 'step'>,
  pool: 'mean' | 'cls',
  models: readonly WebModel[],
  origin: Origin | undefined,
): string {
  const name = presetNameOf(config) ?? 'Vision Transformer';
  return [
    '---\nlibrary_name: transformers.js\npipeline_tag: image-feature-extraction\ntags: [mae, vit, onnx]\n---',
    `# ${name}, encoder of a Masked Autoencoder`,
    `Features of pictures of ${formatInputSize(config)} by the encoder of a Masked Autoencoder (He et al., 2022): ${parameters(config)} ` +
      `parameters, ${config.depth} blocks of width ${config.embedDim}, patches of ${config.patchSize}. It sees all patches: nothing is masked.`,
    usage(config, pool),
    filesTable(models),
    `The models are ONNX of opset ${webOpset} (${runtimeNeeded(webOpset)}).`,
    training(step, origin),
    citation,
    `Written by mae ${version}.`,
  ]
    .map((part) => `${part}\n`)
    .join('\n');
}

function parameters(config: ModelConfig): string {
  const count = encoderParameters(config).reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  return `${(count / 1e6).toFixed(1)} million`;
}

function usage(config: ModelConfig, pool: 'mean' | 'cls'): string {
  const { height, width } = imageSize(config);
  const pooled = { mean: 'the mean of the patch tokens', cls: 'the class token' }[pool];
  const ofPython = { mean: 'last_hidden_state[:, 1:].mean(1)', cls: 'last_hidden_state[:, 0]' }[pool];
  return `## Use

transformers.js; \`{ dtype: 'fp16' }\` or \`'q8'\` as a third argument takes a smaller file:

${fenced('js', [
  "import { pipeline } from '@huggingface/transformers';",
  "const extract = await pipeline('image-feature-extraction', 'path/of/this/folder');",
  `const features = await extract('picture.jpg', { pool: true }); // [1, ${config.embedDim}]; without pool all tokens`,
])}

transformers:

\`\`\`python
from transformers import AutoImageProcessor, AutoModel
processor, model = (each.from_pretrained("path/of/this/folder") for each in (AutoImageProcessor, AutoModel))
features = model(**processor(image, return_tensors="pt")).${ofPython}
\`\`\`

ONNX Runtime, any language; pixels are float32 \`[n, 3, ${height}, ${width}]\`, \`(x / 255 − mean) / std\` with mean ${JSON.stringify(imagenetMean)} and
std ${JSON.stringify(imagenetDeviation)}:

\`\`\`python
import onnxruntime
session = onnxruntime.InferenceSession("path/of/this/folder/onnx/model.onnx")
features = session.run(["pooler_output"], {"pixel_values": pixels})[0]
\`\`\`

\`last_hidden_state\` has all tokens after the final norm, the class token first. \`pooler_output\` of the ONNX models is ${pooled};
transformers' ViTModel computes its own, which its class allows to be of the class token alone: it is the class token as it
is. ${pool === 'mean' ? 'The mean is better for frozen features: no loss of pretraining asks anything of the class token.' : ''}`.trimEnd();
}

function fenced(language: string, lines: readonly string[]): string {
  return [`\`\`\`${language}`, ...lines, '```'].join('\n');
}

function filesTable(models: readonly WebModel[]): string {
  const isJudged = models.every(({ fidelity }) => fidelity.knn !== undefined);
  const header = ['file', 'size', 'cosine with float32', ...(isJudged ? ['kNN', 'logistic regression'] : [])];
  const rows = models.map(({ precision, bytes, fidelity: { cosine, knn, logreg } }) => [
    `\`${webModels[precision]}\``,
    formatMegabytes(bytes),
    precision === 'fp32' ? '' : `${cosine.mean.toFixed(5)}, at least ${cosine.smallest.toFixed(5)}`,
    ...(isJudged ? [percent(knn!), percent(logreg!)] : []),
  ]);
  const lines = [header, header.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`);
  const judged = isJudged
    ? ' Accuracies are those of frozen `pooler_output` on pictures with classes, of which it learnt none.'
    : '';
  return `## Files\n\n${lines.join('\n')}\n\nCosines are those of \`pooler_output\` on drawn sample pictures.${judged}`;
}

export function formatMegabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** Options that say how a run learnt; in this order. */
const recipe = [
  'epochs',
  'warmup-epochs',
  'batch-size',
  'accum-iter',
  'lr',
  'blr',
  'weight-decay',
  'mask-ratio',
  'predict-ratio',
  'norm-pix-loss',
  'crop-scale',
  'precision',
  'seed',
];

function training(step: number, origin: Origin | undefined): string {
  if (origin === undefined) {
    return '## Training\n\nThe weights were read from a file that does not tell how they were trained.';
  }
  const { options, dataset, mae } = origin.config;
  const rows = recipe
    .filter((name) => options[name] !== undefined && options[name] !== null)
    .map((name) => `| ${name} | ${JSON.stringify(options[name])} |`);
  return [
    '## Training',
    `${step} steps of \`mae pretrain\` ${mae} on ${dataset.images} pictures (fingerprint of their names: \`${dataset.fingerprint}\`).`,
    ['| option | value |', '| --- | --- |', ...rows].join('\n'),
    ...measured(origin),
  ].join('\n\n');
}

function measured({ val, probe }: Origin): string[] {
  const numbers = (
    line: Readonly<Record<string, unknown>> | undefined,
    names: Readonly<Record<string, string>>,
  ) =>
    Object.entries(names)
      .filter(([field]) => typeof line?.[field] === 'number')
      .map(([field, name]) => {
        const value = line![field] as number;
        return `${name} ${['knn', 'logreg'].includes(field) ? percent(value) : value.toPrecision(4)}`;
      });
  const found = [
    ...numbers(val, { loss: 'loss of validation' }),
    ...numbers(probe, { knn: 'kNN', logreg: 'logistic regression', rank_me: 'RankMe' }),
  ];
  return found.length === 0 ? [] : [`Measured in the run, at last: ${found.join(', ')}.`];
}

const citation = `## Citation

\`\`\`bibtex
@inproceedings{he2022masked,
  title = {Masked Autoencoders Are Scalable Vision Learners},
  author = {He, Kaiming and Chen, Xinlei and Xie, Saining and Li, Yanghao and Doll{\\'a}r, Piotr and Girshick, Ross},
  booktitle = {CVPR},
  year = {2022}
}
\`\`\``;
