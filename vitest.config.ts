import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Native libraries live in each process: forks, not threads, and no more than the cores can feed.
    pool: 'forks',
    maxWorkers: 2,
    // against tests that hang: none is about speed, and a busy machine takes several times as long
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // .ci/run counts passed, failed and skipped tests in the second one
    reporters: ['default', 'json'],
    outputFile: { json: 'node_modules/.vitest/results.json' },
  },
});
