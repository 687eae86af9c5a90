/** EXIF's Software, which says of a picture what program wrote it. */
import { readFile } from 'node:fs/promises';

const softwareTag = 0x0131;
const ascii = 2;

/** A TIFF header and a directory with that one field. */
export function softwareExif(name: string): Buffer {
  const directory = 8;
  const text = Buffer.from(`${name}\0`, 'latin1');
  const head = Buffer.alloc(directory + 2 + 12 + 4);
  head.write('II*\0', 'latin1');
  head.writeUInt32LE(directory, 4);
  head.writeUInt16LE(1, directory); // fields
  head.writeUInt16LE(softwareTag, directory + 2);
  head.writeUInt16LE(ascii, directory + 4);
  head.writeUInt32LE(text.length, directory + 6);
  head.writeUInt32LE(head.length, directory + 10); // where the text is; after it no other directory
  return Buffer.concat([head, text]);
}

const pictureStart = /^(\x89PNG|\xff\xd8\xff|RIFF.{4}WEBP)/s;

/** Whether a PNG, JPEG or WebP has a name in its EXIF data, of whatever program's making. */
export async function namesSoftware(path: string, name: string): Promise<boolean> {
  const bytes = await readFile(path).catch(() => Buffer.of());
  if (!pictureStart.test(bytes.toString('latin1', 0, 12))) return false;
  const end = bytes.indexOf(`${name}\0`, 'latin1');
  // the chunk of PNG, or what EXIF data begins with in the others; none is longer than a segment of JPEG
  return end >= 0 && /eXIf|Exif/.test(bytes.toString('latin1', Math.max(0, end - 2 ** 16), end));
}
