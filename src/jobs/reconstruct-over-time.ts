/** One image under one mask through the checkpoints of a run. */
import { basename } from 'node:path';
import { loadImage } from '../data/load-image.js';
import { labelledHeight, labelWidth, withColumnLabels } from '../data/pictures/column-labels.js';
import type { RgbPicture } from '../data/pictures/encode-png.js';
import { type GridLayout, gridCanvas, gridLayout, gridSize } from '../data/pictures/grid-canvas.js';
import { checkPictureSize, writePicture } from '../data/pictures/picture-file.js';
import { imageSize } from '../model/config.js';
import { maeParameters } from '../model/parameters.js';
import { chooseDevice } from '../runtime/choose-device.js';
import { Runtime } from '../runtime/runtime.js';
import { UserError } from '../util/errors.js';
import { checkRegularFile } from '../util/regular-file.js';
import { checkpointFiles } from '../weights/checkpoint/checkpoint-files.js';
import { damageOf } from '../weights/checkpoint/digests.js';
import { type Checkpoint, checkpointsOf, runPaths } from '../weights/checkpoint/run-directory.js';
import { readState } from '../weights/checkpoint/state.js';
import { atInputSize } from '../weights/foreign/input-size.js';
import { loadWeights, type Weights } from '../weights/foreign/weights.js';
import { isRun, readJson } from './check-output.js';
import {
  checkPicture,
  fittingOf,
  lossFailure,
  type ReconstructingOptions,
  type Reconstruction,
  smallestPanel,
} from './reconstruct.js';
import { Reconstructor } from './reconstructor.js';

export interface OverTimeOptions extends ReconstructingOptions {
  readonly image: string;
  /** A run directory of `mae pretrain`. */
  readonly run: string;
}

/** What is told of a checkpoint; `--json` prints these fields. */
export interface ReconstructionInTime extends Reconstruction {
  readonly checkpoint: string;
  readonly step: number;
  /** Whole epochs that were behind it; null where its state does not say. */
  readonly epoch: number | null;
  /** From 1; the first holds the original and what the encoder saw. */
  readonly column: number;
}

/**
 * Writes one picture: the image and what the encoder saw of it, then a column for each checkpoint, the oldest first, with
 * the reconstruction and that with the visible patches. Checkpoints that cannot be used are left out, with a note; a
 * UserError where no other is left.
 */
export async function reconstructOverTime(
  options: OverTimeOptions,
  note: (line: string) => void,
): Promise<{ results: ReconstructionInTime[]; picture: RgbPicture }> {
  const { image: path, run, output, threads } = options;
  await checkPicture(output, [path]);
  const checkpoints = await checkpointsInTime(run, note);
  const device = chooseDevice(options.device);
  const runtime = new Runtime({ threads, device });
  const through = new ThroughTime(runtime, options, checkpoints.length, note);
  try {
    for (const checkpoint of checkpoints) await through.show(checkpoint);
  } finally {
    through.release();
    runtime.release();
  }
  const { results } = through;
  if (results.length === 0) {
    throw new UserError(
      `--over-time: expected checkpoints that can be used in ${runPaths(run).checkpoints}, got none; copy one back from ` +
        'where it is whole, or train on',
    );
  }
  const picture = through.picture();
  await writePicture(output, picture);
  return { results, picture };
}

/** Collects a column for each checkpoint that it is shown: one session, whose weights are replaced. */
class ThroughTime {
  readonly results: ReconstructionInTime[] = [];
  readonly #runtime: Runtime;
  readonly #options: OverTimeOptions;
  /** Checkpoints that it is shown, at most. */
  readonly #most: number;
  readonly #note: (line: string) => void;
  readonly #columns: (readonly Uint8Array[])[] = [];
  #opened: Opened | undefined;

  constructor(runtime: Runtime, options: OverTimeOptions, most: number, note: (line: string) => void) {
    this.#runtime = runtime;
    this.#options = options;
    this.#most = most;
    this.#note = note;
  }

  async show(checkpoint: Checkpoint): Promise<void> {
    const { seed, output, image: path, inputSize } = this.#options;
    const weights = await usableWeights(checkpoint, this.#note);
    if (weights === undefined) return;
    const { reconstructor, image, maskRatio } = await this.#open(atInputSize(weights, inputSize));
    const [made] = await reconstructor.reconstruct([{ image, index: 0 }], seed);
    const { loss, panels } = made!;
    const failure = lossFailure(loss, path, weights.path);
    if (failure !== undefined) {
      this.#note(`left out: ${failure}`);
      return;
    }
    const [original, masked, ...reconstructed] = panels;
    if (this.#columns.length === 0) this.#columns.push([original!, masked!]);
    this.#columns.push(reconstructed);
    const { folder, step } = checkpoint;
    const { epoch } = await readState(folder).catch(() => ({ epoch: undefined }));
    this.results.push({
      image: path,
      loss,
      output,
      mask_ratio: maskRatio,
      checkpoint: folder,
      step,
      epoch: typeof epoch === 'number' ? epoch : null,
      column: this.#columns.length,
    });
  }

  /** The session with these weights; the image is read for the first of them. */
  async #open(weights: Weights): Promise<Opened> {
    if (this.#opened !== undefined) {
      this.#opened.reconstructor.take(weights.parameters);
      return this.#opened;
    }
    const { image: path, output } = this.#options;
    for (const line of weights.notes) this.#note(line);
    checkRegularFile(path, 'image');
    const image = await loadImage(path, {
      ...fittingOf(this.#options, weights),
      note: ({ text }) => this.#note(`${path}: ${text}`),
    });
    const layout = gridLayout(imageSize(weights.config), smallestPanel);
    const { height, width } = gridSize(layout, 2, 1 + this.#most);
    checkPictureSize(output, { height: labelledHeight(height, layout), width });
    const maskRatio = this.#options.maskRatio ?? weights.maskRatio;
    const reconstructor = new Reconstructor(this.#runtime, weights, maskRatio);
    this.#opened = { reconstructor, image, layout, maskRatio };
    return this.#opened;
  }

  picture(): RgbPicture {
    const { layout } = this.#opened!;
    const labels = this.results.map(
      ({ step }) => [`STEP ${step}`, `${step}`].find((text) => labelWidth(text) <= layout.tile.width) ?? '',
    );
    const rows = [0, 1].map((row) => this.#columns.map((column) => column[row]!));
    return withColumnLabels(gridCanvas(rows, layout), layout, ['', ...labels]);
  }

  release(): void {
    this.#opened?.reconstructor.release();
  }
}

interface Opened {
  readonly reconstructor: Reconstructor;
  /** uint8 [H, W, 3] */
  readonly image: Uint8Array;
  readonly layout: GridLayout;
  readonly maskRatio: number;
}

/** The checkpoints of a run of pretraining, the oldest first, up to the one that it would go on from. */
async function checkpointsInTime(run: string, note: (line: string) => void): Promise<Checkpoint[]> {
  const expected = `--over-time: expected the run directory of mae pretrain`;
  if (!isRun(run)) throw new UserError(`${expected}, got ${run}, which is none; give its --output-dir`);
  const { command = 'pretrain' } = readJson(runPaths(run).config);
  if (command !== 'pretrain') {
    throw new UserError(`${expected}, got ${run} of mae ${command}, which has no decoder; give another run`);
  }
  const found = await checkpointsOf(run);
  const [last] = found;
  if (last === undefined) {
    throw new UserError(
      `--over-time: expected checkpoints in ${runPaths(run).checkpoints}, got none; train until a first one is saved`,
    );
  }
  const bySteps = new Map<number, Checkpoint>();
  for (const checkpoint of found) if (!bySteps.has(checkpoint.step)) bySteps.set(checkpoint.step, checkpoint);
  const all = [...bySteps.values()].sort((a, b) => a.step - b.step);
  const shown = all.filter(({ step }) => step <= last.step);
  const later = all.slice(shown.length).map(({ step }) => `step-${step}`);
  if (later.length > 0) note(`left out: ${later.join(', ')}, from before the run was resumed`);
  return shown;
}

async function usableWeights(
  { folder }: Checkpoint,
  note: (line: string) => void,
): Promise<Weights | undefined> {
  try {
    const damage = await damageOf(folder, [checkpointFiles.model]);
    if (damage === undefined) return await loadWeights(folder, maeParameters);
    note(`left out: ${basename(folder)} is damaged (${damage})`);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    note(`left out: ${error.message}`);
  }
  return undefined;
}
