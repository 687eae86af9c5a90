#!/usr/bin/env node
// No import from ../dist at the top: Node would read all of it, and fail, before a word of this file runs.
import { existsSync } from 'node:fs';
import { nodeProblem } from './check-node.js';

function fail(message) {
  console.error(`mae: ${message}`);
  process.exitCode = 1;
}

/** What is missing where main.js, or a package that it imports, is not found. */
function missing(error) {
  if (!existsSync(new URL('../dist/cli/main.js', import.meta.url)))
    return 'it is not built: run npm run build';
  const [, name] = /Cannot find package '(.+?)'/.exec(error.message) || [];
  return name && `the package ${name} is not installed: run npm install`;
}

const problem = nodeProblem(process.version);
if (problem !== undefined) fail(problem);
else {
  import('../dist/cli/main.js').then(
    ({ main }) => main(process.argv.slice(2)),
    (error) => {
      const message = error.code === 'ERR_MODULE_NOT_FOUND' ? missing(error) : undefined;
      if (message === undefined) throw error;
      fail(message);
    },
  );
}
