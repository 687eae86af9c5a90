import { stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import type { ExportPrecision } from '../artifact/export-encoder.js';
import { webModels, writeWebModel } from '../artifact/export-web.js';
import { encoderParameters } from '../model/parameters.js';
import { chooseDevice } from '../runtime/choose-device.js';
import { Runtime } from '../runtime/runtime.js';
import { bytesOf } from '../util/bytes.js';
import { UserError } from '../util/errors.js';
import { replaceFiles } from '../util/replace-file.js';
import { writeSafetensors } from '../weights/checkpoint/safetensors.js';
import type { Heads } from '../weights/foreign/heads.js';
import {
  identityPooler,
  preprocessorConfig,
  transformersEncoderConfig,
} from '../weights/foreign/transformers-config.js';
import { loadEncoder, type Weights } from '../weights/foreign/weights.js';
import { checkExportFolder } from './check-export.js';
import { checkOutputs, type ExportCheck } from './check-exported.js';
import { type ClassFolders, openClassFolders } from './evaluation/class-folders.js';
import type { FeatureListener } from './evaluation/feature-sets.js';
import { checkFitsFloat16 } from './export-encoder.js';
import { transformersTensors } from './export-folder.js';
import { type InferenceOptions, inferenceDefaults } from './inference-options.js';
import { judgeModel, sampleCosines, withSessions } from './web/accuracy.js';
import { modelCard, originOf, type WebModel } from './web/model-card.js';

export interface ExportWebOptions
  extends Pick<Heads, 'numHeads'>,
    Pick<InferenceOptions, 'batchSize' | 'numWorkers' | 'threads' | 'device'> {
  readonly checkpoint: string;
  /** The folder to write. */
  readonly output: string;
  /** What pooler_output of the ONNX models is. */
  readonly pool: 'mean' | 'cls';
  /** Folders of pictures by which the smaller models are judged; both or none. */
  readonly trainPath?: string | undefined;
  readonly valPath?: string | undefined;
  /** Bytes of weights that go into a model's file, and into one beside it. */
  readonly largestInlineBytes?: number | undefined;
  readonly largestDataBytes?: number | undefined;
}

export const exportWebDefaults = {
  pool: 'mean',
  batchSize: inferenceDefaults.batchSize,
  numWorkers: inferenceDefaults.numWorkers,
  threads: inferenceDefaults.threads,
  device: inferenceDefaults.device,
} as const satisfies Partial<ExportWebOptions>;

export interface ExportedWeb {
  /** Of the float32 model, beside the evaluation graph. */
  readonly checks: readonly ExportCheck[];
  readonly models: readonly WebModel[];
}

/**
 * Writes an encoder as a folder for transformers.js, transformers' ViTModel and ONNX Runtime, with a model card. Each model
 * is checked, and measured beside float32, before any file appears.
 */
export async function exportWeb(options: ExportWebOptions, listener: FeatureListener): Promise<ExportedWeb> {
  const { checkpoint, output, pool, numHeads } = options;
  const device = chooseDevice(options.device);
  await checkExportFolder(output, 'web', checkpoint);
  const weights = await loadEncoder(checkpoint, { numHeads });
  checkHasTokens(weights);
  checkFitsFloat16(weights);
  for (const line of weights.notes) listener.note(line);
  const { config, step } = weights;
  const folders = await openFolders(options, listener.note);
  let result: ExportedWeb | undefined;
  await replaceFiles(output, 'export', async (folder) => {
    const files = await writeModels(folder, weights, options);
    const place = { threads: options.threads, device };
    const paths = mapPrecisions((precision) => join(folder, webModels[precision]));
    const checks = await checkOutputs(paths.fp32, weights, ['none', pool], place);
    await checkOutputs(paths.fp16, weights, ['none', pool], place, 'fp16');
    const models = await measure(paths, files, weights, folders, options, listener);
    const card = modelCard(weights, pool, models, await originOf(checkpoint, step));
    result = { checks, models };
    const dataFiles = Object.fromEntries(
      Object.values(files).map(([model, ...data]) => [model!.slice('onnx/'.length), data.length]),
    );
    const texts = {
      'preprocessor_config.json': json(preprocessorConfig(config, 1)),
      'README.md': card,
      'config.json': json(transformersEncoderConfig(config, dataFiles)),
    };
    for (const [name, text] of Object.entries(texts)) await writeFile(join(folder, name), text);
    await writeTensors(join(folder, 'model.safetensors'), weights);
    // weights before the models that read them, and config.json last: what is there without it is no whole export
    return [
      'model.safetensors',
      ...Object.values(files).flatMap((names) => [...names].reverse()),
      ...Object.keys(texts),
    ];
  });
  return result!;
}

/** A UserError where an encoder has a norm of its tokens' mean alone. */
function checkHasTokens({ norm, head, path }: Weights): void {
  if (norm === 'norm' && head === undefined) return;
  throw new UserError(
    `--format: expected hf, mae or timm for ${path}, which is a classifier, got web; mae export-classifier writes it as ONNX`,
  );
}

async function openFolders(
  { trainPath, valPath }: ExportWebOptions,
  note: (line: string) => void,
): Promise<ClassFolders | undefined> {
  if (trainPath === undefined && valPath === undefined) return undefined;
  if (trainPath === undefined || valPath === undefined) {
    const [given, other] = trainPath === undefined ? ['val', 'train'] : ['train', 'val'];
    throw new UserError(
      `--${other}-path: expected a folder of pictures with the classes of --${given}-path, got none; give both`,
    );
  }
  return openClassFolders({ trainPath, valPath, rescan: false }, note);
}

function mapPrecisions<T>(make: (precision: ExportPrecision) => T): Record<ExportPrecision, T> {
  return { fp32: make('fp32'), fp16: make('fp16'), int8: make('int8') };
}

/** Returns the files of each model below the folder, the model first. */
async function writeModels(
  folder: string,
  { config, parameters, step }: Weights,
  { pool, largestInlineBytes, largestDataBytes }: ExportWebOptions,
): Promise<Record<ExportPrecision, string[]>> {
  const files = mapPrecisions((): string[] => []);
  for (const precision of ['fp32', 'fp16', 'int8'] as const) {
    const options = { pool, step, precision, largestInlineBytes, largestDataBytes };
    const paths = await writeWebModel(join(folder, webModels[precision]), config, parameters, options);
    files[precision] = paths.map((path) => relative(folder, path));
  }
  return files;
}

async function measure(
  paths: Record<ExportPrecision, string>,
  files: Record<ExportPrecision, string[]>,
  { config }: Weights,
  folders: ClassFolders | undefined,
  { batchSize, numWorkers, threads }: ExportWebOptions,
  listener: FeatureListener,
): Promise<WebModel[]> {
  return withSessions(paths, config, threads, async (opened) => {
    const cosines = await sampleCosines(opened, config);
    const runtime = folders && new Runtime({ threads, device: chooseDevice('cpu') });
    try {
      const models: WebModel[] = [];
      for (const [i, each] of opened.entries()) {
        const { precision } = each;
        checkIsNumber(cosines[i]!.smallest, webModels[precision]);
        if (runtime !== undefined) listener.stage(webModels[precision]);
        const judged =
          runtime && (await judgeModel(runtime, each, config, folders!, { batchSize, numWorkers }, listener));
        const folder = paths[precision].slice(0, -webModels[precision].length);
        models.push({
          precision,
          bytes: await bytesIn(files[precision].map((name) => join(folder, name))),
          fidelity: { cosine: cosines[i]!, ...judged },
        });
      }
      return models;
    } finally {
      runtime?.release();
    }
  });
}

function checkIsNumber(cosine: number, name: string): void {
  if (Number.isFinite(cosine)) return;
  throw new Error(`export: expected features of ${name} that are numbers, got a cosine of ${cosine}`);
}

async function bytesIn(paths: readonly string[]): Promise<number> {
  const sizes = await Promise.all(paths.map(async (path) => (await stat(path)).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** What AutoModel reads: a ViTModel with its pooler. */
async function writeTensors(path: string, { config, parameters, step }: Weights): Promise<void> {
  const width = config.embedDim;
  const pooler = [...identityPooler(config)].map(([name, values]) => ({
    name,
    dtype: 'F32' as const,
    shape: name.endsWith('weight') ? [width, width] : [width],
    data: bytesOf(values),
  }));
  const tensors = encoderParameters(config).flatMap((spec) => transformersTensors(spec, parameters, true));
  await writeSafetensors(path, [...tensors, ...pooler], { format: 'pt', 'mae.step': String(step) });
}

function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
