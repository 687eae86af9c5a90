/** Checksums of 32 bits, each by the table of its polynomial with its bits in reverse. */
function crcOf(polynomial: number): (...pieces: readonly Uint8Array[]) => number {
  const table = Uint32Array.from({ length: 256 }, (_, byte) => {
    let c = byte;
    for (let bit = 0; bit < 8; bit++) c = c & 1 ? (c >>> 1) ^ polynomial : c >>> 1;
    return c;
  });
  return (...pieces) => {
    let c = 0xffffffff;
    for (const bytes of pieces) for (const byte of bytes) c = (c >>> 8) ^ table[(c ^ byte) & 0xff]!;
    return ~c >>> 0;
  };
}

/** That of PNG and zip. */
export const crc32 = crcOf(0xedb88320);
/** Castagnoli's: that of TFRecord. */
export const crc32c = crcOf(0x82f63b78);
