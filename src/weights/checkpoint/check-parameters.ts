import { isOfDecoder } from '../../model/parameters.js';
import { UserError } from '../../util/errors.js';
import { formatShape, type Shape, sameShape } from '../../util/shape.js';

/** Throws a UserError that lists parameters missing or of another shape, by name. */
export function checkParameters(
  file: {
    readonly path: string;
    readonly tensors: ReadonlyMap<string, { readonly shape: Shape }>;
    readonly missingParts?: readonly string[];
  },
  wanted: readonly { name: string; shape: Shape }[],
): void {
  const { path, tensors, missingParts = [] } = file;
  const problems = missingParts.map((part) => `${part} is missing`);
  for (const { name, shape } of wanted) {
    const found = tensors.get(name);
    if (found !== undefined && !sameShape(found.shape, shape)) {
      problems.push(`${name} is ${formatShape(found.shape)} instead of ${formatShape(shape)}`);
    } else if (found === undefined && !missingParts.some((part) => part.endsWith(` of ${name}`))) {
      problems.push(`${name} is missing`);
    }
  }
  if (problems.length === 0) return;
  const known = new Set(wanted.map(({ name }) => name));
  const isMissing = problems.some((problem) => problem.endsWith('missing'));
  const others = [...tensors.keys()].filter((name) => !known.has(name) && !isOfDecoder({ name }));
  const rest = isMissing && others.length > 0 ? ` (it has others: ${shown(others, ', ')})` : '';
  throw new UserError(`checkpoint: ${path} does not fit the model: ${shown(problems, '; ')}${rest}`);
}

/** The first ten, and how many more there are. */
export function shown(lines: readonly string[], separator: string): string {
  const more = lines.length > 10 ? `${separator}and ${lines.length - 10} more` : '';
  return lines.slice(0, 10).join(separator) + more;
}
