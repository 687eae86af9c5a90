/**
 * An error that belongs to the person at the keyboard. The message says what was expected, what was got and
 * what to do; `cli` prints it on one line and exits 1. Every other error is ours and prints a stack.
 */
export class UserError extends Error {
  override name = 'UserError';
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The `code` of a Node system error (`ENOENT`, `ENOSPC`, …), or undefined. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
}
