import { pixelValues } from '../data/pictures/pixels.js';
import { imageSize, type ModelConfig } from '../model/config.js';
import { prepareEnvironment } from '../runtime/library.js';
import { intraOpThreads } from '../runtime/threads.js';

/** An output of a model. */
export interface ExportedOutput {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface ExportedSession {
  /** images: uint8 [B, H, W, 3], for any B. */
  run(images: Uint8Array): Promise<ExportedOutput[]>;
  release(): Promise<void>;
}

/** An exported model of pixel_values as its users run it: by onnxruntime-node's public API, on the CPU. */
export async function openExported(
  path: string,
  config: ModelConfig,
  threads: number,
): Promise<ExportedSession> {
  prepareEnvironment();
  const { InferenceSession, Tensor } = await import('onnxruntime-node');
  const { height, width } = imageSize(config);
  const session = await InferenceSession.create(path, { intraOpNumThreads: intraOpThreads(threads) });
  return {
    run: async (images) => {
      const values = pixelValues(images, { height, width });
      const shape = [images.length / (height * width * 3), 3, height, width];
      const outputs = await session.run({ pixel_values: new Tensor('float32', values, shape) });
      return session.outputNames.map((name) => {
        const { dims, data } = outputs[name]!;
        return { name, shape: dims, data: data as Float32Array };
      });
    },
    release: () => session.release(),
  };
}
