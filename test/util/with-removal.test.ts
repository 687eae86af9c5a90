import { expect, onTestFinished, test, vi } from 'vitest';
import { withRemoval } from '../../src/util/with-removal.js';

test('a signal that something else listens to ends nothing: a run that writes a sheet stops after its step', async () => {
  const exit = vi.spyOn(process, 'exit').mockImplementation(() => undefined as never);
  const stop = vi.fn();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop);
  onTestFinished(() => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop);
    exit.mockRestore();
  });
  const remove = vi.fn();
  const done = await withRemoval(remove, async () => {
    process.emit('SIGINT');
    process.emit('SIGTERM');
    expect(remove).not.toHaveBeenCalled();
    return 'done';
  });
  expect([done, stop.mock.calls.length, remove.mock.calls.length]).toEqual(['done', 2, 1]);
  expect(exit).not.toHaveBeenCalled();
});
