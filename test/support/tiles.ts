import sharp from 'sharp';

/** Pixels of the pictures of `mae reconstruct`, and of the white between them. */
export const [tileSide, tileGap] = [192, 8];

/** The pixels of one picture of a grid, RGB. @param top pixels above the grid */
export function tileOf(path: string, row: number, column: number, top = 0): Promise<Buffer> {
  const step = tileSide + tileGap;
  return sharp(path)
    .extract({
      left: tileGap + column * step,
      top: top + tileGap + row * step,
      width: tileSide,
      height: tileSide,
    })
    .raw()
    .toBuffer();
}

/** How many rows and columns a grid has. */
export async function gridOf(path: string, top = 0): Promise<{ rows: number; columns: number }> {
  const { width, height } = await sharp(path).metadata();
  const count = (side: number) => (side - tileGap) / (tileSide + tileGap);
  return { rows: count(height - top), columns: count(width) };
}
