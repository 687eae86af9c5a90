/** How the runs stand, on what they ran and how fast. */
import { h, table } from './dom.js';
import { count, duration, number, percent, short } from './format.js';
import { swatch } from './readout.js';
import type { RunData, Throughput } from './report-data.js';

export function overview(runs: readonly RunData[]): Node[] {
  const header = [
    'Run',
    'State',
    'Command',
    'Model',
    'Step',
    'Epochs',
    'Loss',
    'Best',
    'Time',
    'Images/s',
    'Waiting',
  ];
  const rows = runs.map((run, index) => {
    const { step, totalSteps, throughput } = run;
    return [
      h('span', { title: run.path }, swatch(index), run.name),
      h('span', { class: `state ${run.state}` }, run.state),
      run.command ?? '–',
      run.model ?? '–',
      step === null ? '–' : `${count(step)}${totalSteps === null ? '' : ` of ${count(totalSteps)}`}`,
      epochsOf(run),
      lastOf(run, ['epoch/loss', 'train/loss']),
      bestOf(run),
      throughput === null ? '–' : duration(throughput.hours),
      throughput === null ? '–' : speed(throughput),
      throughput?.dataWait == null ? '–' : percent(throughput.dataWait),
    ];
  });
  return [
    table('Overview of the runs', header, rows),
    h(
      'p',
      { class: 'soft' },
      'Loss: mean of the last whole epoch. Images/s: over the whole time, validation and probes included. Waiting: the ' +
        'share of steps’ time spent waiting for data.',
    ),
  ];
}

function speed({ imagesPerSecond, medianImagesPerSecond }: Throughput): string {
  const value = imagesPerSecond ?? medianImagesPerSecond;
  return value === null ? '–' : short(Number(value.toPrecision(3)));
}

function epochsOf({ step, stepsPerEpoch, epochs }: RunData): string {
  if (step === null || stepsPerEpoch === null) return '–';
  return `${number(Math.floor((10 * step) / stepsPerEpoch) / 10)}${epochs === null ? '' : ` of ${epochs}`}`;
}

function lastOf({ curves }: RunData, tags: readonly string[]): string {
  const curve = tags.flatMap((tag) => curves.find((each) => each.tag === tag) ?? [])[0];
  return curve === undefined ? '–' : number(curve.value.at(-1)!);
}

/** As `mae runs` has it: by probes, else by the accuracy of validation, else by its loss. */
function bestOf({ curves }: RunData): string {
  const values = (tag: string) => curves.find((curve) => curve.tag === tag)?.value;
  const largest = (all: readonly number[]) => all.reduce((a, b) => Math.max(a, b));
  const [logreg, top1, losses] = [values('probe/logreg'), values('val/top1'), values('val/loss')];
  if (logreg !== undefined) return `probe ${percent(largest(logreg))}`;
  if (top1 !== undefined) return `top-1 ${percent(largest(top1))}`;
  return losses === undefined ? '–' : `validation ${number(losses.reduce((a, b) => Math.min(a, b)))}`;
}

/** Device and versions, and what the page leaves out. */
export function machines(runs: readonly RunData[]): Node[] {
  const names = [...new Set(runs.flatMap(({ machine }) => machine.map(([name]) => name)))];
  if (names.length === 0) return [h('p', {}, 'No run tells its device and versions.')];
  const rows = names.map((name) => [
    name,
    ...runs.map(({ machine }) => machine.find(([other]) => other === name)?.[1] ?? '–'),
  ]);
  return [table('Device and versions of the runs', ['', ...runs.map(({ name }) => name)], rows)];
}

export function notes(runs: readonly RunData[]): Node[] {
  const items = runs.flatMap((run) =>
    run.notes.map((note) => h('li', {}, h('b', {}, run.name), `: ${note}`)),
  );
  return items.length === 0 ? [] : [h('ul', { class: 'soft' }, ...items)];
}
