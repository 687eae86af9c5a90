/** Tensors by name, whatever the file: safetensors (one or several of an index), or .pth of torch.save. */
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { messageOf, UserError } from '../../util/errors.js';
import { explained } from '../../util/system-errors.js';
import { isPth, modelFormat } from '../checkpoint/model-content.js';
import { openSafetensors, readFloat32, type SafetensorsFile } from '../checkpoint/safetensors.js';
import { openPth } from './pth/pth.js';
import type { SourceTensor, WeightSource } from './weight-source.js';

/** Opens a file by its bytes, else by its name; `….index.json` is over several safetensors. */
export async function openWeights(path: string): Promise<WeightSource> {
  if (path.endsWith('.index.json')) return openSharded(path);
  const format = modelFormat(path) ?? (isPth(path) ? 'pth' : 'safetensors');
  return format === 'pth' ? openPth(path) : sourceOf(await openSafetensors(path));
}

function sourceOf(file: SafetensorsFile): WeightSource {
  const { path, tensors, metadata } = file;
  return {
    path,
    tensors,
    metadata,
    readFloat32: (name) => readFloat32(file, name),
    close: () => file.close(),
  };
}

const largestIndexBytes = 2 ** 26;

/** model.safetensors.index.json: {"weight_map": {tensor: file beside it}}. */
async function openSharded(path: string): Promise<WeightSource> {
  const bad = (got: string) =>
    new UserError(
      `checkpoint: expected ${path} to be an index of safetensors files, got ${got}; ` +
        'it is damaged or something else: copy or download it again',
    );
  const places = await readIndex(path, bad);
  const files = new Map<string, SafetensorsFile>();
  const close = async () => {
    await Promise.all([...files.values()].map((file) => file.close()));
  };
  try {
    const tensors = new Map<string, SourceTensor>();
    for (const [name, shard] of places) {
      if (!files.has(shard)) files.set(shard, await openSafetensors(join(dirname(path), shard)));
      const entry = files.get(shard)!.tensors.get(name);
      if (entry === undefined) throw bad(`no tensor ${JSON.stringify(name)} in ${shard}`);
      tensors.set(name, entry);
    }
    const metadata = [...files.values()][0]?.metadata ?? {};
    return {
      path,
      tensors,
      metadata,
      readFloat32: (name) => readFloat32(files.get(places.get(name)!)!, name),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

async function readIndex(path: string, bad: (got: string) => UserError): Promise<Map<string, string>> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > largestIndexBytes) throw bad(`${size} bytes`);
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw explained(error, 'checkpoint', `to read ${path}`);
  }
  let index: { weight_map?: unknown } | null;
  try {
    index = JSON.parse(text);
  } catch (error) {
    throw bad(`no JSON (${messageOf(error).slice(0, 100)})`);
  }
  const map = index?.weight_map;
  if (typeof map !== 'object' || map === null || Array.isArray(map)) throw bad('no weight_map');
  const places = new Map(Object.entries(map));
  // its files lie beside it: no path leads elsewhere
  for (const shard of places.values()) {
    if (typeof shard !== 'string' || !/^[\w.-]+\.safetensors$/.test(shard)) {
      throw bad(`the file name ${JSON.stringify(shard)?.slice(0, 80)}`);
    }
  }
  return places as Map<string, string>;
}
