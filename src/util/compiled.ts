/**
 * A file of `dist`, by its path there: a script for a process or thread of its own, WebAssembly, a library. It is found
 * from `dist` and from the TypeScript sources alike, for both lie beside each other.
 */
export function compiledFile(path: string): URL {
  return new URL(`../../dist/${path}`, import.meta.url);
}
