import koffi, { type KoffiFunc } from 'koffi';
import { configureStacks } from './library.js';

/** Of madvise(2); Linux 5.14. */
const populateWrite = 23;
const pageBytes = 4096;
/** One call at a time, so that a process that wants to end waits for one at most. */
const callBytes = 2 ** 28;

type Advise = (address: bigint, length: bigint, advice: number) => number;
let advise: KoffiFunc<Advise> | null | undefined;

/**
 * Has the system give memory to arrays that are still all zeros, on a thread of its own, and returns at once. Without
 * it the first step of the optimizer takes two page faults for every 4 KiB of the moments, one to read and one to
 * write, from all threads at once: 12 s for ViT-L in a virtual machine, against 3 s here, which nobody waits for.
 * A hint: where the system does not take it, nothing changes.
 */
export function prefault(...arrays: readonly Float32Array[]): void {
  const pieces = arrays.flatMap(piecesOf);
  if (pieces.length === 0 || process.platform !== 'linux') return;
  const call = madvise();
  if (call === null) return;
  const next = () => {
    const piece = pieces.shift();
    // the closure holds the arrays until the last call is over
    if (piece !== undefined && arrays.length > 0) {
      call.async(piece.address, piece.length, populateWrite, (error: unknown, status: number) => {
        if (error === null && status === 0) next();
      });
    }
  };
  next();
}

function madvise(): KoffiFunc<Advise> | null {
  if (advise === undefined) {
    configureStacks();
    try {
      advise = koffi.load(null).func('int madvise(uintptr_t, size_t, int)') as KoffiFunc<Advise>;
    } catch {
      advise = null;
    }
  }
  return advise;
}

/** The whole pages of an array. Small arrays are not worth a call. */
function piecesOf(array: Float32Array): { address: bigint; length: bigint }[] {
  const page = BigInt(pageBytes);
  const begin = koffi.address(array);
  const first = ((begin + page - 1n) / page) * page;
  const end = ((begin + BigInt(array.byteLength)) / page) * page;
  const pieces: { address: bigint; length: bigint }[] = [];
  if (array.byteLength < callBytes / 4) return pieces;
  for (let address = first; address < end; address += BigInt(callBytes)) {
    const length = end - address < BigInt(callBytes) ? end - address : BigInt(callBytes);
    pieces.push({ address, length });
  }
  return pieces;
}
