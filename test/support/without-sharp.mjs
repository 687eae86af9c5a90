/** `node --import`: sharp does not load, as where its package for the platform is not there. */
import { register } from 'node:module';

const hooks = `export function resolve(name, context, next) {
  if (name === 'sharp') throw new Error('Could not load the "sharp" module using the none runtime\\nPossible solutions: …');
  return next(name, context);
}`;
register(`data:text/javascript,${encodeURIComponent(hooks)}`);
