/** `batchSize` → `batch-size`: a field of options as a flag. */
export function kebabCase(camel: string): string {
  return separated(camel, '-');
}

/** `batchSize` → `batch_size`: a field as JSON that others read has it. */
export function snakeCase(camel: string): string {
  return separated(camel, '_');
}

/** `batch-size` → `batchSize`: a flag as a field of options. */
export function camelCase(kebab: string): string {
  return kebab.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
}

function separated(camel: string, by: string): string {
  return camel.replace(/[A-Z]/g, (letter) => `${by}${letter.toLowerCase()}`);
}
