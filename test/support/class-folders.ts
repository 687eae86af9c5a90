import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';

const colours = { blue: [40, 60, 200], green: [50, 190, 70], red: [210, 60, 50] } as const;

/** Three class folders of small pictures in colours that are easy to tell, as many of each. */
export async function writeClassFolders(folder: string, count: number): Promise<void> {
  for (const [name, [r, g, b]] of Object.entries(colours)) {
    mkdirSync(join(folder, name), { recursive: true });
    for (let i = 0; i < count; i++) {
      const background = { r: r + 5 * i, g: g + 3 * i, b: b - 4 * i };
      const picture = sharp({ create: { width: 24, height: 20, channels: 3, background } });
      await picture.png().toFile(join(folder, name, `${i}.png`));
    }
  }
}
