/** The last lines of a run: its best results, where they are, what it took and what to try next. */
import type { TrainCommand } from '../train/changes-result.js';
import { bestMeasures } from '../train/kept-best.js';
import { loggedValues } from '../train/log-file.js';
import type { BestMeasure, RunResult } from '../train/observer.js';
import { formatDuration } from '../train/observers/progress.js';
import { runPaths } from '../weights/checkpoint/run-directory.js';

export interface EndedRun {
  readonly command: TrainCommand;
  readonly outputDir: string;
  readonly result: RunResult;
  /** The step that this process began at. */
  readonly firstStep: number;
  readonly totalSteps: number;
  /** What this process took. */
  readonly seconds: number;
  /** Commands to try. */
  readonly next: readonly string[];
}

/** Of a run that came to its end; of one that was stopped or had nothing to do, its best results alone. */
export async function runSummary(run: EndedRun): Promise<string[]> {
  const { command, outputDir, result, firstStep, totalSteps, seconds, next } = run;
  const measures: BestMeasure[] =
    command === 'pretrain' ? [bestMeasures.val, bestMeasures.probe] : [bestMeasures.top1];
  const best: string[] = [];
  for (const measure of measures) best.push(...(await bestLine(measure, run)));
  if (result.step < totalSteps || firstStep >= totalSteps) return best;
  const part = firstStep === 0 ? '' : `, from step ${firstStep} on`;
  return [
    ...best,
    `took ${formatDuration(seconds)}${part}; weights, log.jsonl and config.json are in ${outputDir}`,
    'next:',
    ...next.map((command) => `  ${command}`),
  ];
}

/** Of what the whole run logged of a measure, if it did. */
async function bestLine(
  measure: BestMeasure,
  { outputDir, result }: Pick<EndedRun, 'outputDir' | 'result'>,
): Promise<string[]> {
  const found = await loggedValues(runPaths(outputDir).log, measure, result.step);
  if (found.length === 0) return [];
  const { isLoss, label, name } = measure;
  const best = found.reduce((a, b) => ((isLoss ? b.value < a.value : b.value > a.value) ? b : a));
  const shown = isLoss ? best.value.toFixed(4) : `${(100 * best.value).toFixed(2)} %`;
  const kept = result.best?.measure.name === name ? `: ${result.best.path}` : ` at step ${best.step}`;
  return [`best ${label} ${shown}${kept}`];
}
