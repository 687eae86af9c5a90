import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { encoderParameters, maeParameters } from '../../../src/model/parameters.js';
import { saveCheckpoint } from '../../../src/train/checkpointing.js';
import { ModelState } from '../../../src/train/engine/model-state.js';
import { startOfRun } from '../../../src/train/position.js';
import { UserError } from '../../../src/util/errors.js';
import { loadWeights } from '../../../src/weights/foreign/weights.js';
import { readTensorFile, type TensorFile, tinyModel, writeTensorFile } from '../../support/cli-files.js';
import { temporaryFolder, tinyArtifacts } from '../../train/support.js';

let run: string;
let whole: TensorFile;
beforeEach(async () => {
  const state = new ModelState(tinyArtifacts(2).manifest);
  state.initialize(1);
  run = temporaryFolder();
  const folder = await saveCheckpoint(run, state, { ...startOfRun, step: 12 }, 1);
  whole = readTensorFile(join(folder, 'model.safetensors'));
});

/** The saved file with changes, in a folder of the test. */
function changed(change: (tensors: Map<string, { shape: readonly number[]; data: Float32Array }>) => void) {
  const tensors = new Map(whole.tensors);
  change(tensors);
  const path = join(temporaryFolder(), 'changed.safetensors');
  writeTensorFile(path, { metadata: whole.metadata, tensors });
  return path;
}

async function refusal(path: string): Promise<string> {
  const error = await loadWeights(path, maeParameters).then(
    () => new Error('not refused'),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  return (error as Error).message;
}

test('a run, its checkpoint and its file alone give the same weights', async () => {
  const step = join(run, 'checkpoints', 'step-12');
  const copy = changed(() => {});
  for (const given of [run, step, join(step, 'model.safetensors'), copy]) {
    const weights = await loadWeights(given, maeParameters);
    expect(weights).toMatchObject({ config: tinyModel, maskRatio: 0.75, normPixLoss: true, step: 12 });
    expect(weights.parameters.size).toBe(whole.tensors.size);
    for (const [name, data] of weights.parameters) expect(data, name).toEqual(whole.tensors.get(name)!.data);
  }
});

test('parameters that are missing or of another shape are listed by name', async () => {
  const path = changed((tensors) => {
    tensors.delete('blocks.0.attn.qkv.weight');
    tensors.delete('mask_token');
    const { data } = tensors.get('decoder_pred.bias')!;
    tensors.set('decoder_pred.bias', { shape: [2, data.length / 2], data });
  });
  const message = await refusal(path);
  expect(message).toContain(`${path} does not fit the model`);
  expect(message).toContain('blocks.0.attn.qkv.weight is missing');
  expect(message).toContain('mask_token is missing');
  expect(message).toMatch(/decoder_pred\.bias is \[2, 24\] instead of \[48\]/);
  expect(message).not.toContain('norm.weight');
});

test('a long list ends with the number of the rest', async () => {
  const path = changed((tensors) => {
    for (const name of [...tensors.keys()].slice(0, 15)) tensors.delete(name);
  });
  const message = await refusal(path);
  expect(message.match(/is missing/g)).toHaveLength(10);
  // position tables that are missing are computed
  expect(message).toMatch(/; and 4 more$/);
});

test.each([
  ['no description and sizes of its own', {}, /to say how many heads its encoder of width 24 has/],
  ['half a description', { format: 'mae' }, /to hold the description of its model/],
  ['torn description', { format: 'mae', model: '{' }, /expected JSON in "model"/],
  ['another model', { format: 'mae', model: '{"width":3}' }, /unknown field "width"/],
  ['no numbers', { format: 'mae', model: JSON.stringify(tinyModel) }, /expected mask_ratio and step/],
])('a file with %s is refused', async (_, metadata, message) => {
  const path = join(temporaryFolder(), 'foreign.safetensors');
  writeTensorFile(path, { metadata, tensors: whole.tensors });
  expect(await refusal(path)).toMatch(message);
});

test('heads that the file says may be given, others may not; nor those of a decoder that is not read', async () => {
  const path = changed(() => {});
  const same = { numHeads: tinyModel.numHeads, decoderNumHeads: tinyModel.decoderNumHeads };
  expect((await loadWeights(path, maeParameters, same)).config).toEqual(tinyModel);
  await expect(loadWeights(path, maeParameters, { numHeads: 12 })).rejects.toThrow(
    `--num-heads: expected ${tinyModel.numHeads}, as ${path} says, got 12; leave it out`,
  );
  await expect(loadWeights(path, maeParameters, { decoderNumHeads: 8 })).rejects.toThrow(
    `--decoder-num-heads: expected ${tinyModel.decoderNumHeads}, as ${path} says, got 8; leave it out`,
  );
  await expect(loadWeights(path, encoderParameters, same)).rejects.toThrow(
    `--decoder-num-heads: expected with a decoder, got the encoder of ${path} alone; leave it out`,
  );
});

test('heads that are given make weights of a file that says none', async () => {
  const path = join(temporaryFolder(), 'foreign.safetensors');
  writeTensorFile(path, { metadata: {}, tensors: whole.tensors });
  const { numHeads, decoderNumHeads } = tinyModel;
  const weights = await loadWeights(path, maeParameters, { numHeads, decoderNumHeads });
  expect(weights).toMatchObject({ config: tinyModel, notes: [] });
  // its decoder is 16 wide: an encoder alone needs no heads of it
  expect(await loadWeights(path, encoderParameters, { numHeads })).toMatchObject({
    config: { ...tinyModel, decoderNumHeads: expect.any(Number) },
    notes: [],
  });
});
