/**
 * Names of a Masked Autoencoder's tensors: the published code's (ours, and those of timm's encoder), and
 * transformers' ViTMAE, of which three are about:
 *
 *   up to 4.x      vit.encoder.layer.0.attention.attention.query   decoder.decoder_layers.0.…
 *   5.x in memory  vit.layers.0.attention.q_proj                   decoder.decoder_layers.0.…
 *   5.x on disk    vit.encoder.layer.0.attention.attention.query   decoder.decoder_encoder.layer.0.…
 *
 * transformers keeps the queries', keys' and values' matrices apart; the published code has them as the rows of
 * one, in this order. A ViTMAEModel saved alone has no `vit.` and no decoder.
 */
import { UserError } from '../../util/errors.js';
import { formatShape, sameShape } from '../../util/shape.js';
import { findPrefixes, type Prefixes } from './name-prefixes.js';
import type { SourceTensor, WeightSource } from './weight-source.js';

const parts = ['query', 'key', 'value'] as const;

/** Inside a block: the published name, and transformers' older and current ones. */
const blockNames: readonly [published: string, older: string, current: string][] = [
  ['norm1', 'layernorm_before', 'layernorm_before'],
  ['attn.proj', 'attention.output.dense', 'attention.o_proj'],
  ['norm2', 'layernorm_after', 'layernorm_after'],
  ['mlp.fc1', 'intermediate.dense', 'mlp.fc1'],
  ['mlp.fc2', 'output.dense', 'mlp.fc2'],
];

/** Outside the blocks; `vit.` is left out. */
const outerNames: readonly [published: string, transformers: string][] = [
  ['cls_token', 'embeddings.cls_token'],
  ['pos_embed', 'embeddings.position_embeddings'],
  ['patch_embed.proj.weight', 'embeddings.patch_embeddings.projection.weight'],
  ['patch_embed.proj.bias', 'embeddings.patch_embeddings.projection.bias'],
  ['norm.weight', 'layernorm.weight'],
  ['norm.bias', 'layernorm.bias'],
  ['head.weight', 'classifier.weight'],
  ['head.bias', 'classifier.bias'],
  ['mask_token', 'decoder.mask_token'],
  ...['decoder_pos_embed', 'decoder_embed.weight', 'decoder_embed.bias'].map(inDecoder),
  ...['decoder_norm.weight', 'decoder_norm.bias', 'decoder_pred.weight', 'decoder_pred.bias'].map(inDecoder),
];

function inDecoder(name: string): [string, string] {
  return [name, `decoder.${name}`];
}

const publishedOf = new Map(outerNames.map(([published, transformers]) => [transformers, published]));
const transformersOf = new Map(outerNames);

/** A published name; `part` says which third of its rows (0: queries, 1: keys, 2: values) a tensor holds. */
interface PublishedName {
  readonly name: string;
  readonly part?: 0 | 1 | 2;
}

/** The published name behind a name of transformers; undefined for a name of another kind. */
export function fromTransformersName(given: string): PublishedName | undefined {
  const name = given.replace(/^vit\./, '');
  const outer = publishedOf.get(name);
  if (outer !== undefined) return { name: outer };
  const block =
    /^(decoder\.decoder_(?:layers|encoder\.layer)|encoder\.layer|layers)\.(\d+)\.(.+)\.(weight|bias)$/.exec(
      name,
    );
  if (block === null) return undefined;
  const [, where, index, inner, kind] = block as unknown as [string, string, string, string, string];
  const prefix = `${where.startsWith('decoder.') ? 'decoder_blocks' : 'blocks'}.${index}`;
  const split = /^attention\.(?:attention\.(query|key|value)|([qkv])_proj)$/.exec(inner);
  if (split !== null) {
    const part = parts.findIndex((word) => word === split[1] || word[0] === split[2]) as 0 | 1 | 2;
    return { name: `${prefix}.attn.qkv.${kind}`, part };
  }
  const found = blockNames.find(([, ...names]) => names.includes(inner));
  return found && { name: `${prefix}.${found[0]}.${kind}` };
}

/**
 * The names of transformers for a published one: three for the thirds of a `qkv`, one for any other tensor. They
 * are the older names, which every version reads. `encoderOnly`: as ViTMAEModel has them.
 */
export function toTransformersNames(published: string, encoderOnly = false): string[] {
  const vit = encoderOnly ? '' : 'vit.';
  const outer = transformersOf.get(published);
  if (outer !== undefined) return [/^(decoder|classifier)\./.test(outer) ? outer : vit + outer];
  const match = /^(decoder_)?blocks\.(\d+)\.(.+)\.(weight|bias)$/.exec(published);
  if (match === null) throw new Error(`toTransformersNames: ${published} is no parameter of the model`);
  const [, decoder, index, inner, kind] = match;
  const prefix = decoder === undefined ? `${vit}encoder.layer.${index}` : `decoder.decoder_layers.${index}`;
  if (inner === 'attn.qkv') return parts.map((part) => `${prefix}.attention.attention.${part}.${kind}`);
  const found = blockNames.find(([name]) => name === inner);
  if (found === undefined) throw new Error(`toTransformersNames: ${published} is no parameter of the model`);
  return [`${prefix}.${found[1]}.${kind}`];
}

/** OpenMMLab's names (mmpretrain's VisionTransformer and MAEPretrainDecoder) of what the published code calls otherwise. */
const openMMLabNames: readonly [theirs: RegExp, published: string][] = [
  [/^patch_embed\.projection\./, 'patch_embed.proj.'],
  [/^layers\.(?=\d)/, 'blocks.'],
  [/^((?:decoder_)?blocks\.\d+\.)ln([12])\./, '$1norm$2.'],
  [/\.ffn\.layers\.0\.0\./, '.mlp.fc1.'],
  [/\.ffn\.layers\.1\./, '.mlp.fc2.'],
];

function fromOpenMMLabName(given: string, part: 'encoder' | 'decoder'): string {
  const norm = part === 'encoder' ? 'norm.' : 'decoder_norm.';
  return openMMLabNames.reduce(
    (name, [theirs, published]) => name.replace(theirs, published),
    given.replace(/^(?:ln1|norm1)\./, norm),
  );
}

/** The published name of a tensor; that of a tensor of something else, which is no parameter's. */
function publishedName(given: string, prefixes: Prefixes): PublishedName {
  const { name, part } = prefixes.bare(given);
  if (part === 'other') return { name };
  if (prefixes.isOpenMMLab) return { name: fromOpenMMLabName(name, part) };
  return fromTransformersName(name) ?? { name: name.replace(/^decoder\.(?=decoder_blocks\.)/, '') };
}

/** Tensors under their published names, whatever the names in the file. */
export interface PublishedSource extends WeightSource {
  /** Parts of a qkv without which it cannot be joined, by their names in the file. */
  readonly missingParts: readonly string[];
  /** What a person should know of the names; each a line. */
  readonly notes: readonly string[];
}

/** What a published tensor is made of: its names in the file, joined along the first axis. */
interface Joined extends SourceTensor {
  readonly from: readonly string[];
}

/**
 * A source seen under published names: prefixes stripped, transformers' and OpenMMLab's names mapped, q, k, v joined.
 */
export function inPublishedNames(source: WeightSource): PublishedSource {
  const prefixes = findPrefixes(source.tensors.keys(), source.path);
  const groups = new Map<string, (string | undefined)[]>();
  for (const given of source.tensors.keys()) {
    const { name: published, part = 0 } = publishedName(given, prefixes);
    const group = groups.get(published) ?? [];
    if (group[part] !== undefined) {
      throw new UserError(
        `checkpoint: expected ${published} once in ${source.path}, got it as ${group[part]} and as ${given}; ` +
          'save the file again with one of them',
      );
    }
    group[part] = given;
    groups.set(published, group);
  }
  const tensors = new Map<string, Joined>();
  const missingParts: string[] = [];
  for (const [name, group] of groups) {
    const joined = publishedName((group[0] ?? group[1] ?? group[2])!, prefixes).part !== undefined;
    const missing = joined ? parts.filter((_, i) => group[i] === undefined) : [];
    if (missing.length > 0) {
      missingParts.push(...missing.map((part) => `the ${part} part of ${name}`));
      continue;
    }
    const from = group as string[];
    tensors.set(name, { ...joinedShape(name, from, source), from });
  }
  return {
    path: source.path,
    tensors,
    metadata: source.metadata,
    missingParts,
    notes: [
      ...prefixes.notes,
      ...(prefixes.isOpenMMLab ? [`${source.path} has the names of OpenMMLab: they are mapped`] : []),
    ],
    readFloat32: async (name) => {
      const { from } = tensors.get(name)!;
      if (from.length === 1) return source.readFloat32(from[0]!);
      const pieces: Float32Array[] = [];
      for (const piece of from) pieces.push(await source.readFloat32(piece));
      const whole = new Float32Array(pieces.reduce((sum, { length }) => sum + length, 0));
      pieces.reduce((offset, piece) => {
        whole.set(piece, offset);
        return offset + piece.length;
      }, 0);
      return whole;
    },
    close: () => source.close(),
  };
}

function joinedShape(name: string, from: readonly string[], { tensors, path }: WeightSource): SourceTensor {
  const pieces = from.map((piece) => tensors.get(piece)!);
  const { dtype, shape } = pieces[0]!;
  if (pieces.length === 1) return { dtype, shape };
  if (shape.length === 0 || pieces.some((piece) => !sameShape(piece.shape, shape))) {
    const shapes = pieces.map((piece) => formatShape(piece.shape)).join(', ');
    throw new UserError(
      `checkpoint: expected queries, keys and values of one shape for ${name} in ${path}, got ${shapes}; ` +
        'give a file of a ViTMAE model',
    );
  }
  return { dtype, shape: [3 * shape[0]!, ...shape.slice(1)] };
}
