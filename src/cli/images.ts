import { UserError } from '../util/errors.js';

/** Words after a command that name images. */
export interface ImageArguments {
  images?: string[];
}

export function imagesOf({ images = [] }: ImageArguments): string[] {
  // yargs makes nothing of it
  const dash = process.argv.indexOf('-');
  if (dash >= 0 && !process.argv[dash - 1]!.startsWith('-')) {
    throw new UserError('images: expected paths of files, got -; standard input is not read: give a file');
  }
  if (images.length > 0) return images;
  throw new UserError('images: expected at least one path of a picture, got none; name one');
}
