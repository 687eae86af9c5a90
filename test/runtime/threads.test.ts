import { expect, test } from 'vitest';
import { intraOpThreads, threadsNote } from '../../src/runtime/threads.js';
import { usableCores } from '../../src/util/cores.js';

test('threads that are asked for are taken, and said to be slow where they outnumber the cores', () => {
  const cores = usableCores();
  expect(intraOpThreads(cores + 7)).toBe(cores + 7);
  expect([0, 1, cores].map(threadsNote)).toEqual([undefined, undefined, undefined]);
  expect(threadsNote(cores + 7)).toMatch(`--threads ${cores + 7}: this process may use ${cores} core`);
});

test('none asked for: ONNX Runtime’s own number, or as many as may run', () => {
  expect([0, usableCores()]).toContain(intraOpThreads(0));
});
