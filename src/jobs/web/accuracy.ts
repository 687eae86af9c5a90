import type { ExportPrecision } from '../../artifact/export-encoder.js';
import { renderSampleImage } from '../../data/pictures/sample-images.js';
import { imageSize, type ModelConfig } from '../../model/config.js';
import { imageInputs } from '../../model/mask.js';
import type { Runtime } from '../../runtime/runtime.js';
import { type ClassFolders, checkImages } from '../evaluation/class-folders.js';
import { judge } from '../evaluation/judge.js';
import { type ExportedSession, openExported } from '../exported-session.js';
import { collectRows, type FeatureOptions, type FeatureProgress, type FeatureTable } from '../features.js';

/** What a model's pooler_output is worth beside that of float32. */
export interface Fidelity {
  /** Cosines with float32's on sample pictures: the mean of them, and the smallest. */
  readonly cosine: { readonly mean: number; readonly smallest: number };
  /** Shares of 1, of frozen features on folders of classes. */
  readonly knn?: number;
  readonly logreg?: number;
}

export interface Opened {
  readonly precision: ExportPrecision;
  readonly session: ExportedSession;
}

const samples = 24;
/** Neighbours that vote; fewer of a small set. */
const votingK = 20;

/** Runs something with a session of each model. */
export async function withSessions<T>(
  paths: Readonly<Record<ExportPrecision, string>>,
  config: ModelConfig,
  threads: number,
  use: (opened: readonly Opened[]) => Promise<T>,
): Promise<T> {
  const opened: Opened[] = [];
  try {
    for (const precision of ['fp32', 'fp16', 'int8'] as const) {
      opened.push({ precision, session: await openExported(paths[precision], config, threads) });
    }
    return await use(opened);
  } finally {
    for (const { session } of opened) await session.release();
  }
}

/** Cosines of each model's pooled features with those of the first on pictures that belong to nobody. */
export async function sampleCosines(
  opened: readonly Opened[],
  config: ModelConfig,
): Promise<Fidelity['cosine'][]> {
  const { height, width } = imageSize(config);
  const cosines = opened.map((): number[] => []);
  for (let index = 0; index < samples; index++) {
    const { data } = renderSampleImage(0, index, width, height);
    const features: Float32Array[] = [];
    for (const { session } of opened) features.push(await pooledFeatures(session, data));
    for (const [i, each] of features.entries()) cosines[i]!.push(cosine(each, features[0]!));
  }
  return cosines.map((all) => ({
    mean: all.reduce((sum, each) => sum + each, 0) / all.length,
    smallest: Math.min(...all),
  }));
}

/** kNN and logistic regression of a model's pooled features, as `mae evaluate` judges an encoder's. */
export async function judgeModel(
  runtime: Runtime,
  { precision, session }: Opened,
  config: ModelConfig,
  folders: ClassFolders,
  options: Omit<FeatureOptions, 'pools'>,
  { progress, note }: { readonly progress: FeatureProgress; readonly note: (line: string) => void },
): Promise<Required<Pick<Fidelity, 'knn' | 'logreg'>>> {
  const extract = async (source: ClassFolders['train']): Promise<FeatureTable> => {
    const batchSize = Math.min(options.batchSize, source.length);
    const maker = {
      inputs: imageInputs(config, batchSize),
      shapes: { features: [config.embedDim] },
      compute: async ({ inputs }: { inputs: Readonly<Record<string, ArrayBufferView>> }) => ({
        features: await pooledFeatures(session, inputs['images'] as Uint8Array),
      }),
    };
    return (await collectRows(source, maker, options, progress, note)).features;
  };
  const set = {
    features: precision,
    pool: 'mean' as const,
    isBaseline: false,
    train: await extract(folders.train),
    val: await extract(folders.val),
  };
  checkImages(folders, set);
  const classes = folders.train.classNames.length;
  const { row } = await judge(runtime, set, { classes, methods: ['knn', 'logreg'], shots: [], seed: 0 });
  const accuracies = Object.entries(row.knn!);
  const [, knn] = accuracies.findLast(([k]) => Number(k) <= votingK) ?? accuracies[0]!;
  return { knn, logreg: row.logreg! };
}

async function pooledFeatures(session: ExportedSession, images: Uint8Array): Promise<Float32Array> {
  return (await session.run(images)).find(({ name }) => name === 'pooler_output')!.data;
}

function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    dot += a[i]! * b[i]!;
    aa += a[i]! ** 2;
    bb += b[i]! ** 2;
  }
  return dot / Math.sqrt(aa * bb);
}
