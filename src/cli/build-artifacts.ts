import type { Options } from 'yargs';
import { buildArtifacts } from '../artifact/build.js';
import { writeArtifacts } from '../artifact/write.js';
import { outputFlag } from './common-flags.js';
import type { Arguments } from './flags.js';
import { modelFlags, modelOf } from './model-flags.js';

export const options = {
  ...modelFlags,
  output: outputFlag(
    'Folder for training_model.onnx, eval_model.onnx, optimizer_model.onnx and manifest.json',
  ),
} as const satisfies Record<string, Options>;

export async function run(argv: Arguments<typeof options>): Promise<void> {
  const artifacts = buildArtifacts(modelOf(argv), { ...argv, accumulate: argv.accumIter > 1 });
  writeArtifacts(artifacts, argv.output);
  for (const [name, bytes] of artifacts.files)
    console.log(`${argv.output}/${name}  ${bytes.byteLength} bytes`);
}
