import { basename } from 'node:path';
import { normedEncoder } from '../model/classifier-parameters.js';
import type { ModelConfig } from '../model/config.js';
import {
  type ExportPrecision,
  encoderMetadata,
  type OnnxModelOptions,
  withData,
  writeOnnxModel,
} from './export-encoder.js';
import { featureExtractionGraph } from './exported-graphs.js';

/** The models of a folder, by their precision: the names that transformers.js takes for `dtype` fp32, fp16 and q8. */
export const webModels: Readonly<Record<ExportPrecision, string>> = {
  fp32: 'onnx/model.onnx',
  fp16: 'onnx/model_fp16.onnx',
  int8: 'onnx/model_quantized.onnx',
};

/** LayerNormalization came with it: no other version opens in as many places. */
export const webOpset = 17;

export interface WebModelOptions
  extends Pick<OnnxModelOptions, 'precision' | 'largestInlineBytes' | 'largestDataBytes'> {
  /** What pooler_output is. */
  readonly pool: 'mean' | 'cls';
  readonly step: number;
}

/**
 * Writes an encoder with last_hidden_state and pooler_output. Weights that are too many go into `<path>_data`,
 * `<path>_data_1`, …, each of which a browser can hold. Returns the files, the model first.
 */
export function writeWebModel(
  path: string,
  config: ModelConfig,
  parameters: ReadonlyMap<string, Float32Array>,
  { pool, step, largestDataBytes = 1.5 * 2 ** 30, ...form }: WebModelOptions,
): Promise<string[]> {
  return writeOnnxModel(
    path,
    featureExtractionGraph(config, pool),
    withData(normedEncoder(config, 'norm'), parameters),
    {
      ...form,
      largestDataBytes,
      opset: webOpset,
      metadata: encoderMetadata(config, step, pool),
      dataName: (n) => `${basename(path)}_data${n === 0 ? '' : `_${n}`}`,
    },
  );
}
