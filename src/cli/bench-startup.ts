import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Options } from 'yargs';
import { benchmarkStartup } from '../bench/startup.js';
import { writeSampleImages } from '../data/pictures/sample-images.js';
import { modelOf } from '../model/presets.js';
import { snakeCase } from '../util/case.js';
import { withScratchFolder } from '../util/scratch-folder.js';
import { formatSeconds, machineRows, type Row, report } from './bench-report.js';
import { jsonFlag, noteThreads, threadsFlag } from './common-flags.js';
import { type Arguments, integer } from './flags.js';
import { modelFlags } from './model-flags.js';

export const options = {
  model: modelFlags.model,
  'batch-size': { ...modelFlags['batch-size'], default: 4 },
  threads: threadsFlag,
  repeats: {
    default: 3,
    coerce: integer('repeats', { min: 1, max: 1000 }),
    requiresArg: true,
    describe: 'Starts to take the median of',
  },
  json: jsonFlag('One line of JSON instead of a table'),
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  modelOf(argv); // a mistake in its name is told here, not in a child
  const { model, batchSize, threads, repeats, json } = argv;
  noteThreads(threads);
  const result = await withScratchFolder(async (scratch) => {
    const dataPath = join(scratch, 'images');
    await writeSampleImages(dataPath, { count: batchSize });
    const maeScript = fileURLToPath(new URL('../../bin/mae.js', import.meta.url));
    return benchmarkStartup({ model, batchSize, threads, repeats, maeScript, dataPath, scratch });
  });
  const { differentiate, lower, serialize } = result.stages;
  const seconds = (key: string, value: number): Row => [`${key}_seconds`, value, formatSeconds(value)];
  const stages = Object.entries(result.stages).map(([stage, value]) => seconds(snakeCase(stage), value));
  const rows: Row[] = [
    ...machineRows(),
    ['model', model],
    ['batch_size', batchSize],
    ['repeats', repeats],
    seconds('help', result.help),
    seconds('graph', differentiate + lower + serialize),
    seconds('first_step', result.firstStep),
    ['stages', Object.fromEntries(stages.map(([name, value]) => [name, value]))],
    ...(json ? [] : stages),
  ];
  report(rows, json);
}
