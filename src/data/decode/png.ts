import { ImageError, type Size } from './pixels.js';

/** What a PNG file says before its pixels. */
export interface PngHeader extends Size {
  /** Whether it says how many bits mean something: then the writer has spread them over the whole range, as PNG wants. */
  hasSignificantBits: boolean;
}

/** Chunks are their length, their name, their data and a checksum (PNG, section 5.3); IHDR comes first. */
export function readPngHeader(bytes: Uint8Array): PngHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bytes.length < 33) throw new ImageError('truncated PNG: it ends within its header');
  let hasSignificantBits = false;
  for (let at = 8; at + 12 <= bytes.length; at += 12 + view.getUint32(at)) {
    const name = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (name === 'sBIT') hasSignificantBits = true;
    if (name === 'IDAT') break;
  }
  return { width: view.getUint32(16), height: view.getUint32(20), hasSignificantBits };
}
