/**
 * Control characters, which could move the cursor or break a line, and marks that turn the direction of writing: C0,
 * DEL, C1; U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to U+2069 (Unicode's UAX #9); U+2028, U+2029.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: it is there to find them
const unprintable = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

const short: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** Text as one line for a terminal, whatever names of files stand in it; escaped as JSON escapes, so JSON stays JSON. */
export function printable(text: string): string {
  return text.replace(
    unprintable,
    (character) => short[character] ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
