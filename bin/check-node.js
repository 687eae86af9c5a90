// Written in words that Node 14 reads: it has to be able to say that it is too old.
import { readFileSync } from 'node:fs';

/** Why this Node cannot run mae, or undefined; `engines` of package.json says which ones can. */
export function nodeProblem(version) {
  const { engines } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  const wanted = engines.node.replace('>=', '');
  const numbers = (text) => text.replace('v', '').split('.').map(Number);
  const [major, minor] = numbers(version);
  const [wantedMajor, wantedMinor] = numbers(wanted);
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return undefined;
  return `Node ${wanted} or later is needed, got ${version}: install it from https://nodejs.org or with a version manager`;
}
