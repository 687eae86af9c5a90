import type { Options } from 'yargs';
import { trainingGraph } from '../artifact/graphs.js';
import { graphBytes } from '../bench/bytes.js';
import { lowerGraph } from '../compiler/lowering/lower.js';
import { maeTask } from '../model/mae.js';
import { modelOf } from '../model/presets.js';
import { version } from '../util/version.js';
import { type Row, report } from './bench-report.js';
import { jsonFlag } from './common-flags.js';
import { type Arguments, choice } from './flags.js';
import { modelFlags } from './model-flags.js';

export const options = {
  ...modelFlags,
  precision: {
    type: 'string',
    coerce: choice('precision', ['fp32', 'fp16', 'bf16'] as const),
    default: 'fp32',
    requiresArg: true,
    describe: 'Of the products, as a GPU computes them',
  },
  json: jsonFlag('One line of JSON instead of a table'),
} as const satisfies Record<string, Options>;

/** The bytes that each operator of the portable training graph moves in a step. */
export async function run(argv: Arguments<typeof options>): Promise<void> {
  const task = maeTask(modelOf(argv), argv);
  const graph = lowerGraph(trainingGraph(task, { ...argv, accumulate: argv.accumIter > 1 }), {
    graphPrecision: argv.precision === 'fp32' ? undefined : argv.precision,
  });
  const { operators, totalBytes, productBytes, otherBytes } = graphBytes(graph);
  const gigabytes = (key: string, bytes: number): Row => [key, bytes, formatGB(bytes)];
  const rows: Row[] = [
    ['mae', version],
    ['model', argv.model],
    ['batch_size', argv.batchSize],
    ['precision', argv.precision],
    gigabytes('total_bytes', totalBytes),
    gigabytes('product_bytes', productBytes),
    gigabytes('other_bytes', otherBytes),
    ['operators', operators],
  ];
  report(rows, argv.json);
  if (argv.json) return;
  console.log(`\n${'by operator'.padEnd(34)}${'moved'.padStart(12)}${'share'.padStart(9)}     nodes`);
  for (const { operator, nodes, readBytes, writtenBytes } of operators) {
    const moved = readBytes + writtenBytes;
    const share = `${((100 * moved) / totalBytes).toFixed(1)} %`;
    console.log(
      `${operator.padEnd(34)}${formatGB(moved).padStart(12)}${share.padStart(9)}${String(nodes).padStart(10)}`,
    );
  }
}

function formatGB(bytes: number): string {
  return `${(bytes / 1e9).toFixed(2)} GB`;
}
