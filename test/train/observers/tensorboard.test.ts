import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encodePng } from '../../../src/data/pictures/encode-png.js';
import { exportLog } from '../../../src/jobs/export-log.js';
import { JsonLog } from '../../../src/train/observers/jsonl.js';
import { TensorBoardLog } from '../../../src/train/observers/tensorboard.js';
import { readEvents } from '../../support/event-files.js';
import { startOf, stepOf, temporaryFolder } from '../support.js';

function observersOf(run: string, note: (line: string) => void = () => {}) {
  const events = new TensorBoardLog(run, note);
  return { log: new JsonLog(join(run, 'log.jsonl'), (line) => events.add(line)), events };
}

const resumed = (step: number, totalSteps: number) => ({ ...startOf(step, totalSteps), resumedFrom: 'x' });

/** A process that goes from one step to another, validating, probing and drawing after each epoch of two steps. */
async function go(run: string, from: number, to: number, note?: (line: string) => void): Promise<void> {
  const { log, events } = observersOf(run, note);
  const start = from === 0 ? startOf(0, 9) : resumed(from, 9);
  await log.started(start);
  await events.started(start);
  const draw = (epochs: number) => {
    const path = `pictures/epoch-000${epochs}.png`;
    mkdirSync(join(run, 'pictures'), { recursive: true });
    writeFileSync(join(run, path), encodePng({ width: 3, height: 2, data: new Uint8Array(18).fill(epochs) }));
    log.pictured({ epochs, step: 2 * epochs, path });
  };
  if (from === 0) draw(0);
  for (let step = from + 1; step <= to; step++) {
    log.stepped({ ...stepOf(step), lossScale: 1024 });
    if (step % 2 === 1) continue;
    const at = { epoch: step / 2 - 1, step };
    log.epochEnded({ ...at, loss: 0.5 + step });
    log.validated({
      ...at,
      loss: 0.25 + step,
      images: 9,
      skippedImages: 1,
      metrics: { top1: 0.125, top5: 1 },
    });
    log.probed({ ...at, metrics: { knn: 0.5, logreg: 0.75, rank_me: 3.5 } });
    draw(step / 2);
  }
}

test('every number of the log is a point of a curve, and every sheet an image', async () => {
  const run = temporaryFolder();
  await go(run, 0, 2);
  const { scalars, images, versions } = readEvents(join(run, 'tensorboard'));
  expect(versions).toEqual(['brain.Event:2']);
  const train = (step: number) => [
    ['train/loss', step, Math.fround(1 / step)],
    ['train/lr', step, Math.fround(1e-3)],
    ['train/grad_norm', step, 2],
    ['train/loss_scale', step, 1024],
    ['train/images_per_second', step, 10],
    ['train/data_wait', step, 0.25],
    ['train/skipped_images', step, 0],
  ];
  expect(scalars).toEqual([
    ...train(1),
    ...train(2),
    ['epoch/loss', 2, 2.5],
    ['val/loss', 2, 2.25],
    ['val/images', 2, 9],
    ['val/skipped_images', 2, 1],
    ['val/top1', 2, 0.125],
    ['val/top5', 2, 1],
    ['probe/knn', 2, 0.5],
    ['probe/logreg', 2, 0.75],
    ['probe/rank_me', 2, 3.5],
  ]);
  const sheet = (epochs: number) => readFileSync(join(run, `pictures/epoch-000${epochs}.png`));
  expect(images).toEqual([0, 1].map((epochs) => ['reconstructions', 2 * epochs, 2, 3, sheet(epochs)]));
});

test('a run that was killed and goes on shows each step once, as one that was left alone', async () => {
  const [run, whole] = [temporaryFolder(), temporaryFolder()];
  await go(run, 0, 5);
  await go(run, 2, 7); // from the checkpoint of step 2, in the same second
  await go(run, 6, 8);
  await go(whole, 0, 8);
  expect(readdirSync(join(run, 'tensorboard'))).toHaveLength(3);
  const [actual, wanted] = [run, whole].map((each) => readEvents(join(each, 'tensorboard')));
  expect(actual!.scalars).toEqual(wanted!.scalars);
  expect(actual!.images).toEqual(wanted!.images);
});

test('a run that never saved and begins anew shows each step once, exported too', async () => {
  const [run, whole] = [temporaryFolder(), temporaryFolder()];
  await go(run, 0, 3);
  await go(run, 0, 2);
  await go(whole, 0, 2);
  const output = join(temporaryFolder(), 'events');
  await exportLog({ run, format: 'tensorboard', output }, () => {});
  const { scalars, images } = readEvents(join(whole, 'tensorboard'));
  for (const events of [join(run, 'tensorboard'), output])
    expect(readEvents(events)).toMatchObject({ scalars, images });
});

test('numbers that are none, steps without an update and lines without a step are no points', async () => {
  const run = temporaryFolder();
  const { log, events } = observersOf(run);
  await log.started(startOf(0, 9));
  await events.started(startOf(0, 9));
  log.stepSkipped({
    ...{ step: 1, epoch: 0, reason: 'bad', loss: Number.NaN, gradientNorm: 1, lossScale: undefined },
    ...{ nextLossScale: undefined, images: undefined },
  });
  expect(readdirSync(run)).toEqual(['log.jsonl']); // no file before there is something in it
  log.epochEnded({ epoch: 0, step: 2, loss: Number.NaN });
  log.probed({ epoch: 0, step: 2, metrics: { knn: 0.5, rank_me: Number.POSITIVE_INFINITY } });
  expect(readEvents(join(run, 'tensorboard')).scalars).toEqual([['probe/knn', 2, 0.5]]);
});

test('a run that had no event files gets what its log has when it goes on', async () => {
  const [run, whole] = [temporaryFolder(), temporaryFolder()];
  const log = new JsonLog(join(run, 'log.jsonl'));
  await log.started(startOf(0, 9));
  for (const step of [1, 2, 3]) log.stepped(stepOf(step));
  const { log: next, events } = observersOf(run);
  await next.started(resumed(2, 9));
  await events.started(resumed(2, 9));
  for (const step of [3, 4]) next.stepped(stepOf(step));
  const { log: other, events: others } = observersOf(whole);
  await other.started(startOf(0, 9));
  await others.started(startOf(0, 9));
  for (const step of [1, 2, 3, 4]) other.stepped(stepOf(step));
  expect(readEvents(join(run, 'tensorboard')).scalars).toEqual(
    readEvents(join(whole, 'tensorboard')).scalars,
  );
});

test('what mae log export makes of a log is what was written beside it', async () => {
  const run = temporaryFolder();
  await go(run, 0, 8);
  const output = join(temporaryFolder(), 'events');
  await exportLog({ run, format: 'tensorboard', output }, () => {});
  expect(readEvents(output)).toEqual(readEvents(join(run, 'tensorboard')));
});

test('a folder that cannot be written is said once and ends nothing; the log has all lines', async () => {
  const run = temporaryFolder();
  writeFileSync(join(run, 'tensorboard'), 'a file');
  const notes: string[] = [];
  await go(run, 0, 4, (line) => notes.push(line));
  expect(notes).toHaveLength(1);
  expect(notes[0]).toMatch(/^tensorboard: cannot write to .*tensorboard \(EEXIST\).*mae log export/);
  expect(readFileSync(join(run, 'log.jsonl'), 'utf8').match(/"type":"train"/g)).toHaveLength(4);
});
