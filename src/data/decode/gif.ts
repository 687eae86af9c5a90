/**
 * The file with no transparent colour in its first frame, which is then decoded as its palette says, as by Pillow's
 * convert('RGB'): libvips has black for what is transparent.
 */
export function withoutTransparency(bytes: Uint8Array): Uint8Array {
  const flags = bytes[10] ?? 0;
  let at = 13 + (flags & 0x80 ? 3 * 2 ** ((flags & 7) + 1) : 0); // header, screen and its palette
  while (bytes[at] === 0x21) {
    // graphic control extension: 21 f9 04, flags of which the lowest says that there is a transparent colour
    if (bytes[at + 1] === 0xf9 && ((bytes[at + 3] ?? 0) & 1) === 1) {
      const changed = Uint8Array.from(bytes);
      changed[at + 3]! &= ~1;
      return changed;
    }
    at += 2;
    while ((bytes[at] ?? 0) > 0) at += bytes[at]! + 1;
    at++;
  }
  return bytes;
}
