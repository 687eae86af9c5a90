import { expect, test } from 'vitest';
import { crc32, crc32c } from '../../src/util/crc.js';

// the check values of the catalogue of parametrised CRC algorithms (CRC-32/ISO-HDLC, CRC-32/ISCSI)
test.each([
  ['crc32', crc32, 0xcbf43926],
  ['crc32c', crc32c, 0xe3069283],
] as const)('%s of 123456789, whole and in pieces', (_, crc, wanted) => {
  expect(crc(Buffer.from('123456789'))).toBe(wanted);
  expect(crc(Buffer.from('1234'), Buffer.from(''), Buffer.from('56789'))).toBe(wanted);
});
