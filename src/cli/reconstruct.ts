import type { Argv, Options } from 'yargs';
import { checkedKeptCount } from '../artifact/build.js';
import { evalGraph } from '../artifact/graphs.js';
import { expandDefinitions } from '../compiler/lowering/expand.js';
import { lowerForDevice } from '../compiler/lowering/for-device.js';
import { encodeModel } from '../compiler/onnx/encode.js';
import { loadImage } from '../data/load-image.js';
import { randomPermutation } from '../data/masking.js';
import { writePictureGrid } from '../data/pictures/picture-grid.js';
import { denormalizePatches, patchifyPixels, unpatchifyPixels, unshuffle } from '../data/pictures/pixels.js';
import { imageSize, type ModelConfig, patchCount } from '../model/config.js';
import { maeParameters } from '../model/parameters.js';
import { chooseDevice } from '../runtime/choose-device.js';
import { Runtime } from '../runtime/runtime.js';
import { Evaluator } from '../train/engine/evaluator.js';
import { pretrainDefaults } from '../train/options.js';
import { atInputSize } from '../weights/foreign/input-size.js';
import { loadWeights, type Weights } from '../weights/foreign/weights.js';
import { checkpointFlag, deviceFlag, threadsFlag } from './common-flags.js';
import { type Arguments, integer, number, text } from './flags.js';
import { inputSizeFlag } from './model-flags.js';

export const options = {
  checkpoint: checkpointFlag,
  output: {
    alias: 'o',
    type: 'string',
    default: 'reconstruction.png',
    requiresArg: true,
    coerce: text('output'),
    describe:
      'PNG: a row an image, with the original, what the encoder saw, the reconstruction, and the reconstruction with the visible patches pasted in',
  },
  'input-size': inputSizeFlag,
  'mask-ratio': {
    coerce: number('mask-ratio', { min: 0, max: 1, open: true }),
    requiresArg: true,
    describe: 'Share of patches removed (default: as in training)',
  },
  seed: { default: 0, coerce: integer('seed', { min: 0 }), requiresArg: true, describe: 'Seed of the masks' },
  fit: {
    choices: ['crop', 'squash'],
    default: 'crop',
    coerce: text('fit'),
    describe: 'Cut the middle out, or squeeze the whole picture in',
  },
  threads: threadsFlag,
  device: deviceFlag,
  json: { type: 'boolean', default: false, describe: 'Print one JSON object an image' },
} as const satisfies Record<string, Options>;

export function positionals(argv: Argv): Argv {
  return argv
    .positional('images', { type: 'string', array: true, describe: 'JPEG, PNG, WebP or TIFF files' })
    .epilogue(
      'A model trained with --norm-pix-loss predicts patches without their mean and deviation. The picture takes ' +
        'both from the original, hidden patches included: it borrows from the pixels that it should guess.',
    );
}

type ReconstructArguments = Arguments<typeof options> & { images: string[] };

export async function run(argv: ReconstructArguments): Promise<void> {
  const results = await reconstruct({ ...argv, fit: argv.fit as Fit });
  for (const line of results) {
    console.log(argv.json ? JSON.stringify(line) : `${line.image}  loss ${line.loss.toFixed(4)}`);
  }
  if (!argv.json) console.log(`wrote ${argv.output}`);
}

type Fit = 'crop' | 'squash';

interface Reconstruction {
  image: string;
  loss: number;
  output: string;
  mask_ratio: number;
}

/** Writes one PNG with a row for each image. */
export async function reconstruct({
  images,
  checkpoint,
  output,
  inputSize,
  maskRatio,
  seed = 0,
  fit = 'crop',
  threads = 0,
  device: deviceName = pretrainDefaults.device,
}: Pick<ReconstructArguments, 'images' | 'checkpoint' | 'output'> & {
  inputSize?: ModelConfig['inputSize'] | undefined;
  maskRatio?: number | undefined;
  seed?: number;
  fit?: Fit;
  threads?: number;
  device?: string;
}): Promise<Reconstruction[]> {
  const device = chooseDevice(deviceName);
  const weights = atInputSize(await loadWeights(checkpoint, maeParameters), inputSize);
  for (const note of weights.notes) console.error(note);
  const size = imageSize(weights.config);
  const ratio = maskRatio ?? weights.maskRatio;
  const runtime = new Runtime({ threads, device });
  const reconstructor = new Reconstructor(runtime, weights, ratio);
  const rows: Uint8Array[][] = [];
  const results: Reconstruction[] = [];
  try {
    for (const [index, path] of images.entries()) {
      const image = await loadImage(path, { ...size, fit });
      const { loss, panels } = await reconstructor.reconstruct(image, seed, index);
      rows.push(panels);
      results.push({ image: path, loss, output, mask_ratio: ratio });
    }
  } finally {
    reconstructor.release();
    runtime.release();
  }
  await writePictureGrid(output, rows, size);
  return results;
}

/** A model with its mask ratio, ready to reconstruct one image at a time. */
class Reconstructor {
  readonly #weights: Weights;
  readonly #kept: number;
  readonly #evaluator: Evaluator;

  constructor(runtime: Runtime, weights: Weights, maskRatio: number) {
    const { config, normPixLoss, parameters } = weights;
    this.#weights = weights;
    this.#kept = checkedKeptCount(config, maskRatio);
    const graph = expandDefinitions(evalGraph(config, 1, { kept: this.#kept, normPixLoss }));
    const model = encodeModel(lowerForDevice(graph, runtime.device.lacks));
    const description = {
      model: config,
      batchSize: 1,
      patches: patchCount(config),
      parameters: maeParameters(config),
    };
    this.#evaluator = new Evaluator(runtime, model, description, (name) => parameters.get(name)!);
  }

  /** Panels, uint8 [H, W, 3]: original, masked, reconstruction, reconstruction with visible patches. */
  async reconstruct(
    image: Uint8Array,
    seed: number,
    index: number,
  ): Promise<{ loss: number; panels: Uint8Array[] }> {
    const { config, normPixLoss } = this.#weights;
    const { images, idsShuffle, imageLoss, pred } = this.#evaluator;
    const patchLength = 3 * config.patchSize ** 2;
    images.set(image);
    randomPermutation(idsShuffle, seed, 0, index);
    await this.#evaluator.run();
    const truth = patchifyPixels(image, config);
    let predicted = unshuffle(pred, idsShuffle);
    if (normPixLoss) predicted = denormalizePatches(predicted, truth, patchLength);
    const masked = truth.slice();
    const pasted = predicted.slice();
    idsShuffle.forEach((id, place) => {
      const start = Number(id) * patchLength;
      if (place < this.#kept) pasted.set(truth.subarray(start, start + patchLength), start);
      else masked.fill(0, start, start + patchLength); // ImageNet's mean colour
    });
    const panels = [truth, masked, predicted, pasted].map((patches) => unpatchifyPixels(patches, config));
    return { loss: imageLoss[0]!, panels };
  }

  release(): void {
    this.#evaluator.release();
  }
}
