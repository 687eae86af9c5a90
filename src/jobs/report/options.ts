import type { OptionRow } from '../../page/report-data.js';

type Fields = Readonly<Record<string, unknown>>;

/** What a config.json says, by names: options, sizes of the model, the images. */
export function optionsOf(config: Fields): Map<string, string> {
  const { command = 'pretrain', options, model, dataset, mae, onnxruntime, node } = config;
  const found = new Map<string, string>();
  if (Object.keys(config).length === 0) return found;
  found.set('command', shown(command));
  for (const [name, value] of entriesOf(options)) found.set(`--${name}`, shown(value));
  for (const [name, value] of entriesOf(model)) found.set(`model ${name}`, shown(value));
  for (const [name, value] of entriesOf(dataset))
    found.set(name === 'images' ? 'images' : `images ${name}`, shown(value));
  for (const [name, value] of Object.entries({ mae, onnxruntime, node })) {
    if (value !== undefined) found.set(`version of ${name}`, shown(value));
  }
  return found;
}

/** A row for each option of any run: those that differ first, else in the order of the first run that has it. */
export function optionRows(configs: readonly Fields[]): OptionRow[] {
  const options = configs.map(optionsOf);
  const names = new Set(options.flatMap((of) => [...of.keys()]));
  const rows = [...names].map((name): OptionRow => {
    const values = options.map((of) => of.get(name) ?? null);
    // a run whose config.json is gone says nothing of differences
    const known = values.filter((_, run) => options[run]!.size > 0);
    return { name, values, differs: new Set(known).size > 1 };
  });
  return [...rows.filter(({ differs }) => differs), ...rows.filter(({ differs }) => !differs)];
}

function entriesOf(fields: unknown): [string, unknown][] {
  return typeof fields === 'object' && fields !== null ? Object.entries(fields) : [];
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
