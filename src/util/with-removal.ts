/**
 * Runs `use` and then `remove`, which also runs when a signal or the process's own exit ends it before.
 * Removal has to be synchronous. A signal ends it unless something else listens to it: a run stops after its step then, and
 * under nohup SIGHUP is ignored.
 */
export async function withRemoval<T>(remove: () => void, use: () => Promise<T>): Promise<T> {
  // 128 + the signal's number, as shells say it
  const ends = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;
  const listeners = Object.entries(ends)
    .filter(([signal]) => process.listenerCount(signal) === 0)
    .map(([signal, code]) => [signal, () => process.exit(code)] as const);
  process.on('exit', remove);
  for (const [signal, listener] of listeners) process.on(signal, listener);
  try {
    return await use();
  } finally {
    process.off('exit', remove);
    for (const [signal, listener] of listeners) process.off(signal, listener);
    remove();
  }
}
