/**
 * What other code puts before the names of a model's tensors: `model.` of Lightning, `backbone.` and `neck.` of
 * OpenMMLab, `student.` and `teacher.`, and so on. No list is needed: the tensor of the patches is in every encoder, so
 * what stands before its name stands before all of them. The decoder's is found in the same way.
 */
import { UserError } from '../../util/errors.js';

/** What wraps modules, anywhere in a name: DataParallel, torch.compile, FSDP and activation checkpointing. */
const wrappers = /(?<=^|\.)(?:module|_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\./g;

const encoderAnchor =
  /^(.*?)(?:patch_embed\.proj(?:ection)?|(?:vit\.)?embeddings\.patch_embeddings\.projection)\.weight$/;
const decoderAnchor = /^(.*?)(?:decoder\.)?decoder_embed\.weight$/;

/** Averages of the weights over the steps: what is used after training. */
const averaged = /teacher|target|ema|momentum/i;

export interface BareName {
  readonly name: string;
  readonly part: 'encoder' | 'decoder' | 'other';
}

export interface Prefixes {
  /** The name of a tensor without them; in brackets that of a tensor that is not of this model, which may be the same. */
  bare(given: string): BareName;
  readonly isOpenMMLab: boolean;
  readonly notes: readonly string[];
}

/** A UserError where a file holds several models, of which none is an average of another. */
export function findPrefixes(given: Iterable<string>, path: string): Prefixes {
  const all = [...given];
  const names = all.map((name) => name.replace(wrappers, ''));
  const encoders = prefixesBy(encoderAnchor, names);
  const encoder = encoders.length > 1 ? chosen(encoders, path) : (encoders[0] ?? '');
  const decoders = prefixesBy(decoderAnchor, names);
  const decoder = decoders.includes(encoder) ? encoder : decoders.length === 1 ? decoders[0]! : encoder;
  const notes: string[] = [];
  const left = [...new Set([encoder, decoder])].filter((prefix) => prefix !== '');
  if (encoders.length > 1)
    notes.push(`${path} holds several models (${encoders.join(', ')}): ${encoder} is taken`);
  else if (left.length > 0)
    notes.push(`${path}: ${left.join(' and ')} before the names of its tensors is left out`);
  if (all.some((name) => name.includes('_orig_mod.')))
    notes.push(`${path}: _orig_mod. in its names is left out`);
  return {
    notes,
    isOpenMMLab: names.includes(`${encoder}patch_embed.projection.weight`),
    bare: (name) => {
      const unwrapped = name.replace(wrappers, '');
      if (encoder === '' && decoder === '') return { name: unwrapped, part: 'encoder' };
      // a decoder inside the encoder's prefix has the longer one
      const first =
        decoder.length > encoder.length ? (['decoder', decoder] as const) : (['encoder', encoder] as const);
      const second =
        first[0] === 'decoder' ? (['encoder', encoder] as const) : (['decoder', decoder] as const);
      for (const [part, prefix] of [first, second]) {
        if (prefix !== '' && unwrapped.startsWith(prefix))
          return { name: unwrapped.slice(prefix.length), part };
      }
      const isBare = encoder === '' || decoder === '';
      return isBare
        ? { name: unwrapped, part: encoder === '' ? 'encoder' : 'decoder' }
        : { name: `(${name})`, part: 'other' };
    },
  };
}

/** What stands before the names that match, the shortest first. */
function prefixesBy(anchor: RegExp, names: readonly string[]): string[] {
  const found = new Set<string>();
  for (const name of names) {
    const prefix = anchor.exec(name)?.[1];
    if (prefix === '' || prefix?.endsWith('.')) found.add(prefix);
  }
  return [...found].sort((a, b) => a.length - b.length || (a < b ? -1 : 1));
}

function chosen(prefixes: readonly string[], path: string): string {
  if (prefixes.includes('')) return '';
  const [first, second] = prefixes.filter((prefix) => averaged.test(prefix));
  if (first !== undefined && second === undefined) return first;
  throw new UserError(
    `checkpoint: expected one model in ${path}, got several (${prefixes.join(', ')}); save the one you want alone`,
  );
}
