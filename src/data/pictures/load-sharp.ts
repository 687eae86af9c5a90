import { messageOf, UserError } from '../../util/errors.js';

export type SharpModule = typeof import('sharp').default;

/** sharp, or why it does not load; commands that do not need it run without. */
export function loadSharp(): Promise<SharpModule | string> {
  return import('sharp').then(
    ({ default: sharp }) => sharp,
    (error) => messageOf(error).split('\n')[0]!,
  );
}

/** A UserError where it does not load. @param what needs it, beginning with where, and what else can be done */
export async function neededSharp(what: string, remedy: string): Promise<SharpModule> {
  const sharp = await loadSharp();
  if (typeof sharp !== 'string') return sharp;
  throw new UserError(`${what}, got none (${sharp}); ${remedy}, or run npm install again`);
}
