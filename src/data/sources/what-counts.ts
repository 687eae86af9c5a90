import { type ByteString, textOf } from './path-list.js';

/** Endings of the files that are taken for images. */
export const imageExtensions = [
  'jpg',
  'jpeg',
  'jpe',
  'jfif',
  'png',
  'webp',
  'tif',
  'tiff',
  'bmp',
  'gif',
  'avif',
] as const;

/** Folders that systems and programs make for themselves, in lower case: thumbnails, bins, what a check of the disk found. */
const systemNames = new Set([
  '@eadir', // Synology
  '@tmp',
  '#recycle',
  '#snapshot',
  '@recycle', // QNAP
  '@recently-snapshot',
  '__macosx', // zip files of macOS
  'network trash folder',
  'temporary items',
  'lost+found', // ext4
  '$recycle.bin', // Windows
  'recycler',
  'system volume information',
  'found.000',
]);

/** What of a folder's entries is listed. */
export interface ListingRule {
  isImage(name: ByteString): boolean;
  /** Whether an entry is left out, whatever it is. */
  isLeftOut(name: ByteString): boolean;
  /** The bytes that a name is listed by. */
  listed(name: ByteString): ByteString;
}

const endingOf = (name: ByteString) => name.slice(name.lastIndexOf('.') + 1).toLowerCase();
const endsIn = (extensions: readonly string[]) => {
  const set = new Set(extensions);
  return (name: ByteString) => name.includes('.') && set.has(endingOf(name));
};

/** Images by their endings; no hidden and no system names. */
export const currentRule: ListingRule = {
  isImage: endsIn(imageExtensions),
  // '._*' are what macOS keeps beside files on foreign disks, with the endings of the files
  isLeftOut: (name) => name.startsWith('.') || systemNames.has(name.toLowerCase()),
  listed: (name) => name,
};

/** The rule of runs from before they kept their list: fewer endings, hidden names too, names read as UTF-8. */
export const earlierRule: ListingRule = {
  isImage: endsIn(['jpg', 'jpeg', 'png', 'webp', 'tif', 'tiff']),
  isLeftOut: () => false,
  listed: (name) => Buffer.from(textOf(name)).toString('latin1'),
};

/** More are not told apart: names like `scan.0001` have thousands of them. */
const maxEndings = 64;

/** What a scan saw and did not list. */
export interface PassedOver {
  /** Files by their ending; '' has none, '*' is all of those that are not told apart. */
  readonly endings: Record<string, number>;
  /** Pipes, sockets and devices. */
  special: number;
  /** Images with hidden or system names, and folders with such names, which were not looked into. */
  hiddenImages: number;
  hiddenFolders: number;
}

export const nothingPassedOver = (): PassedOver => ({
  endings: {},
  special: 0,
  hiddenImages: 0,
  hiddenFolders: 0,
});

export function countFile({ endings }: PassedOver, name: ByteString): void {
  const ending = name.includes('.') ? endingOf(name) : '';
  const isPlain = ending === '' || /^[a-z0-9][a-z0-9_+~-]{0,11}$/.test(ending);
  const isKnown = Object.hasOwn(endings, ending) || Object.keys(endings).length < maxEndings;
  const key = isPlain && isKnown ? ending : '*';
  endings[key] = (Object.hasOwn(endings, key) ? endings[key]! : 0) + 1;
}

const endingsShown = 6;

/** `48 other files are passed over: 40 .heic, 6 .txt, 2 without an ending`, or undefined where there is nothing to say. */
export function describePassedOver({
  endings,
  special,
  hiddenImages,
  hiddenFolders,
}: PassedOver): string | undefined {
  const parts: string[] = [];
  const files = Object.values(endings).reduce((a, b) => a + b, 0);
  if (files > 0) {
    const { '': bare = 0, '*': various = 0, ...named } = endings;
    const byCount = Object.entries(named).sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1));
    const rest = byCount.slice(endingsShown).reduce((sum, [, count]) => sum + count, various);
    const counts = byCount.slice(0, endingsShown).map(([ending, count]) => `${count} .${ending}`);
    if (bare > 0) counts.push(`${bare} without an ending`);
    if (rest > 0) counts.push(`${rest} with ${counts.length > 0 ? 'other' : 'various'} endings`);
    parts.push(`${countOf(files, 'other file')} passed over: ${counts.join(', ')}`);
  }
  if (special > 0) parts.push(`${countOf(special, 'special file')} passed over (pipes, sockets, devices)`);
  if (hiddenImages > 0 || hiddenFolders > 0) {
    const what = [
      ...(hiddenImages > 0 ? [`${hiddenImages} image${hiddenImages === 1 ? '' : 's'}`] : []),
      ...(hiddenFolders > 0 ? [`${hiddenFolders} folder${hiddenFolders === 1 ? '' : 's'}`] : []),
    ];
    parts.push(`hidden and system names are left out: ${what.join(', ')}`);
  }
  return parts.length > 0 ? parts.join('; ') : undefined;
}

/** `1 other file is`, `2 other files are` */
export const countOf = (count: number, noun: string) =>
  count === 1 ? `1 ${noun} is` : `${count} ${noun}s are`;
