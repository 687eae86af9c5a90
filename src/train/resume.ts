import { join } from 'node:path';
import { UserError } from '../util/errors.js';
import { allCheckpointFiles } from '../weights/checkpoint/checkpoint-files.js';
import { checkpointsOf, runPaths } from '../weights/checkpoint/run-directory.js';
import { resolveWholeCheckpoint, wholeCheckpoint } from '../weights/checkpoint/whole-checkpoint.js';
import { logHasSteps } from './log-file.js';
import type { TrainOptions } from './options.js';
import { anotherRun } from './recorded-run.js';
import {
  compareRuns,
  fits,
  isPath,
  type RunConfig,
  readRunConfig,
  TornConfig,
  unchecked,
} from './run-config.js';

/**
 * The checkpoint that a run goes on from, or undefined for a new run.
 *
 * @param note is told of damaged ones that are passed over
 */
export async function findResume(
  config: RunConfig,
  { outputDir, resume }: TrainOptions,
  note: (line: string) => void,
): Promise<string | undefined> {
  const read = (run: string) =>
    readRunConfig(run).catch((error) => {
      if (!isPath(resume) || !(error instanceof TornConfig)) throw error;
      note(`${runPaths(run).config} is torn: whether that run has the same options is not known`);
      return undefined;
    });
  const existing = await read(outputDir);
  const [latest] = await checkpointsOf(outputDir);
  // a run that failed before its first step, for a mistyped path perhaps, does not claim the directory for good
  const hasRun = latest !== undefined || (await logHasSteps(runPaths(outputDir).log));
  if (existing !== undefined && hasRun) {
    const differences = compareRuns(existing, config);
    if (differences.length > 0) {
      throw new UserError(
        `${outputDir} holds a different run (${differences.join('; ')}); give the same options to continue it, or ` +
          anotherRun(
            { folder: outputDir, hasCheckpoint: latest !== undefined && fits(existing, config) },
            { outputDir, resume },
          ),
      );
    }
  } else if (existing === undefined && latest !== undefined && !isPath(resume)) {
    throw new UserError(
      `${outputDir} holds checkpoints but no config.json to tell of which run; give another --output-dir, ` +
        unchecked(outputDir),
    );
  }
  if (resume === 'auto') return (await wholeCheckpoint(outputDir, allCheckpointFiles, note))?.folder;
  if (resume === 'never') {
    if (latest === undefined) return undefined;
    throw new UserError(
      `--resume never: expected an --output-dir without a run, got ${outputDir} at step ${latest.step}; ` +
        'give another one, or let it continue with --resume auto',
    );
  }
  const { folder } = await resolveWholeCheckpoint(resume, allCheckpointFiles, note);
  if (folder === undefined) {
    throw new UserError(
      `--resume: expected a run or a checkpoint folder with the optimizer's state, got ${resume}; ` +
        'to start from weights alone use --init',
    );
  }
  const origin = await read(join(folder, '..', '..'));
  const differences = origin === undefined ? [] : compareRuns(origin, config);
  if (differences.length > 0) {
    throw new UserError(
      `--resume ${resume}: that run is a different one (${differences.join('; ')}); give the same options to continue ` +
        `it, or ${anotherRun({ folder: resume, hasCheckpoint: fits(origin!, config) }, { outputDir, resume })}`,
    );
  }
  return folder;
}
