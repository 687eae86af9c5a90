import koffi, { type KoffiFunc } from 'koffi';
import { configureStacks } from './library.js';

/** MADV_POPULATE_WRITE of madvise(2), from Linux 5.14 on. */
const populateWrite = 23;
const pageBytes = 4096;
/** Small, so that other threads get at the address space in between and a process that wants to end soon can. */
const callBytes = 2 ** 25;
const threads = 2;

/** Arrays, by their addresses, and what is left to do of them. */
interface Work {
  readonly arrays: readonly Float32Array[];
  readonly pieces: { readonly address: bigint; readonly length: bigint }[];
}

/**
 * Has the system give memory to large arrays of zeros while the caller goes on. Without it the first step of the
 * optimizer takes two page faults for every 4 KiB of the moments, one to read and one to write, from all threads at
 * once: 13 s for ViT-L in a virtual machine, against 3 s that overlap with other work.
 * A hint: where the system does not know it, nothing changes.
 */
export function prefault(...arrays: readonly Float32Array[]): void {
  const pieces = arrays.flatMap(piecesOf);
  if (pieces.length === 0 || process.platform !== 'linux') return;
  const madvise = findMadvise();
  if (madvise === null) return;
  for (let i = 0; i < threads; i++) populateNext(madvise, { arrays, pieces });
}

function populateNext(madvise: Madvise, work: Work): void {
  const piece = work.pieces.shift();
  if (piece === undefined) return;
  madvise.async(piece.address, piece.length, populateWrite, (error: Error | null, status: number) => {
    if (error === null && status === 0) populateNext(madvise, work);
  });
}

type Madvise = KoffiFunc<(address: bigint, length: bigint, advice: number) => number>;
let found: Madvise | null | undefined;

function findMadvise(): Madvise | null {
  if (found !== undefined) return found;
  configureStacks();
  try {
    found = koffi.load(null).func('int madvise(uintptr_t, size_t, int)') as Madvise;
  } catch {
    found = null;
  }
  return found;
}

/** Parts of the whole pages of an array; none of one that is not worth a call. */
function piecesOf(array: Float32Array): Work['pieces'] {
  if (array.byteLength < callBytes) return [];
  const page = BigInt(pageBytes);
  const begin = koffi.address(array);
  const first = ((begin + page - 1n) / page) * page;
  const end = ((begin + BigInt(array.byteLength)) / page) * page;
  const pieces: Work['pieces'] = [];
  for (let address = first; address < end; address += BigInt(callBytes)) {
    const left = end - address;
    pieces.push({ address, length: left < callBytes ? left : BigInt(callBytes) });
  }
  return pieces;
}
