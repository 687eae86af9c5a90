import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readJsonFile } from '../../src/util/json-file.js';

const folder = mkdtempSync(join(tmpdir(), 'mae-json-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test('a key that is there twice is refused, in whatever object', () => {
  const path = join(folder, 'twice.json');
  for (const [text, key] of [
    ['{"epochs": 5, "lr": 1, "epochs": 1}', '"epochs"'],
    ['{"options": {"lr": 1, "\\u006cr": 2}}', '"lr"'],
  ] as const) {
    writeFileSync(path, text);
    expect(() => readJsonFile(path, '--config')).toThrow(`got ${key} twice; remove one of them`);
  }
  writeFileSync(path, '{"a": {"lr": 1}, "b": [{"lr": 2}, "lr", "lr"]}');
  expect(readJsonFile(path, '--config')).toEqual({ a: { lr: 1 }, b: [{ lr: 2 }, 'lr', 'lr'] });
});
