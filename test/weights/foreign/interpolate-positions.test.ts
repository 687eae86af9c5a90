import { expect, test } from 'vitest';
import { interpolatePositions } from '../../../src/weights/foreign/interpolate-positions.js';
import '../../support/allclose.js';

test('a table grows as torch’s bicubic interpolation has it; the class token stays', () => {
  // torch.nn.functional.interpolate([[0, 1, 4], [9, 16, 25]], size=(3, 4), mode='bicubic', align_corners=False)
  const wanted = [
    [-0.8156433105468733, -0.7471211751302058, 0.6439310709635458, 2.3550313313802134],
    [4.212890625, 6.3994140625, 11.1015625, 14.9306640625],
    [9.241424560546877, 13.545949300130214, 21.55919392903646, 27.506296793619796],
  ].flat();
  // two columns: the second is ten times the first
  const rows = [7, 0, 1, 4, 9, 16, 25];
  const table = Float32Array.from(rows.flatMap((value) => [value, 10 * value]));
  const got = interpolatePositions(table, { rows: 2, columns: 3 }, { rows: 3, columns: 4 }, 2);
  expect(got).toBeAllclose(
    [7, ...wanted].flatMap((value) => [value, 10 * value]),
    { rtol: 1e-5 },
  );
});

test('of the same size it is the same', () => {
  const table = Float32Array.from({ length: 7 * 3 }, (_, i) => i ** 1.5);
  const grid = { rows: 2, columns: 3 };
  expect(interpolatePositions(table, grid, grid, 3)).toBeAllclose(table, { rtol: 1e-6 });
});
