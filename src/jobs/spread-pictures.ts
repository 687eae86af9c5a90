/** Files that are tried for each picture. */
const tries = 16;

/**
 * As many pictures of a folder, spread over its whole length, so that they are of several classes; where one cannot be
 * read, one of the next.
 *
 * @param read the picture at a position of the folder, undefined where it cannot be read; `place` is that among the pictures
 */
export async function spreadPictures<P>(
  length: number,
  count: number,
  read: (position: number, place: number) => Promise<P | undefined>,
): Promise<P[]> {
  const pictures: P[] = [];
  for (let place = 0; place < count; place++) {
    const [start, end] = [place, place + 1].map((edge) => Math.floor((edge * length) / count));
    const last = Math.min(end!, start! + tries);
    for (let position = start!; position < last; position++) {
      const picture = await read(position, place);
      if (picture === undefined) continue;
      pictures.push(picture);
      break;
    }
  }
  return pictures;
}
