/** `mae report` of runs that there are, and the page in Chromium, from a file and without network. */
import { cpSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { ReportData } from '../../src/page/report-data.js';
import { chromiumPath, openFile } from '../support/chromium.js';
import { maeOk, maeOneLine } from '../support/cli.js';
import { flags, readLog } from '../support/cli-files.js';
import { trainingFiles } from '../support/training-files.js';

const { folder, images, args } = await trainingFiles(32);
/** A name that would do harm where it is taken for markup, and a line separator of JavaScript. */
const evil = '<img src=x onerror=alert(1)></script>\u2028';
const runs = join(folder, evil);
const [one, two] = [join(runs, 'one'), join(runs, 'two')];
const page = join(folder, 'report.html');

beforeAll(async () => {
  const probe = { 'probe-path': images, 'probe-val-path': images, 'probe-every': 1, 'val-path': images };
  await maeOk(args(one, { epochs: 3, ...probe, 'save-every': 1 }));
  await maeOk(args(two, { epochs: 2, lr: 1e-2, 'pictures-every': 0 }));
  await maeOk([
    'evaluate',
    ...flags({ checkpoint: one, 'train-path': images, 'val-path': images, method: 'knn', threads: 1 }),
    ...flags({ 'num-workers': 0, output: join(one, 'evaluation') }),
  ]);
  await maeOk(['report', one, two, '-o', page, '--threads', '1']);
});

/** The document in a page, read by means of its own. */
function dataOf(path: string): ReportData {
  const html = readFileSync(path, 'utf8');
  return JSON.parse(/<script type="application\/json" id="data">([^<]*)<\/script>/.exec(html)![1]!);
}

test('the data is that of the runs', () => {
  const { runs: shown, options } = dataOf(page);
  expect(shown.map(({ name, path, state }) => [name, path, state])).toEqual([
    ['one', one, 'finished'],
    ['two', two, 'finished'],
  ]);
  for (const run of shown) {
    const loss = run.curves.find(({ tag }) => tag === 'train/loss')!;
    const lines = readLog(run.path, 'train');
    expect([loss.step, loss.value]).toEqual([
      lines.map(({ step }) => step),
      lines.map((line) => line['loss']),
    ]);
    expect([run.stepsPerEpoch, run.imagesPerStep]).toEqual([4, 8]);
    const [guesses] = readLog(run.path, 'guesses');
    expect(run.guesses).toEqual({ mean: guesses!['mean'], colour: guesses!['colour'] });
  }
  const [first, second] = shown;
  expect(first!.sheets!.sheets.map(({ epochs }) => epochs)).toEqual([0, 1, 2, 3]);
  for (const [i, { src }] of first!.sheets!.sheets.entries()) {
    const png = readFileSync(join(one, 'pictures', `epoch-000${i}.png`));
    expect(src).toBe(`data:image/png;base64,${png.toString('base64')}`);
  }
  const weights = first!.weights!;
  expect(weights).toMatchObject({ checkpoint: 'step-12', filters: { total: 24 }, attention: { heads: 2 } });
  expect(weights.earlier).toMatchObject({ checkpoint: 'step-4' });
  expect(weights.attention!.images).toHaveLength(4);
  expect(first!.evaluations).toMatchObject([{ folder: 'evaluation', note: null }]);
  const { classes, counts } = first!.evaluations[0]!.confusion!;
  expect(counts.reduce((a, b) => a + b, 0)).toBe(32);
  expect(counts).toHaveLength(classes.length ** 2);
  expect(second!.weights!.attention).toBeNull();
  expect(second!.notes.join('\n')).toMatch(/No reconstructions: .*\n.*No attention maps/s);
  const different = options.filter(({ differs }) => differs).map(({ name }) => name);
  expect(different).toEqual(expect.arrayContaining(['--epochs', '--lr', '--val-path', '--pictures-every']));
  expect(options.find(({ name }) => name === '--lr')!.values).toEqual(['0.001', '0.01']);
  expect(different).not.toContain('--batch-size');
});

describe('the command', () => {
  test.each<[string, () => string[], RegExp]>([
    ['no run', () => [images], /^report: expected a run directory with a log\.jsonl at /],
    ['a run twice', () => [one, `${one}/`], /^report: expected each run once, got .*leave one out$/],
    [
      'a file of something else',
      () => [one, '-o', join(images, '..', 'model.json')],
      /^output: expected a new file/,
    ],
    [
      'a file of the run',
      () => [one, '-o', join(one, 'config.json')],
      /^output: expected a file that is not read/,
    ],
    [
      'a place in its pictures',
      () => [one, '-o', join(one, 'pictures', 'x.html')],
      /^output: expected a place of its own/,
    ],
    ['nothing', () => [], /^Not enough|^report/],
  ])('%s is one line', async (_, given, message) => {
    expect(await maeOneLine(['report', ...given()], { cwd: folder })).toMatch(message);
  });

  test('a log without steps, and one that is none', async () => {
    const run = join(folder, 'empty');
    mkdirSync(run);
    writeFileSync(join(run, 'log.jsonl'), '');
    expect(await maeOneLine(['report', run])).toMatch(
      /^report: expected lines of training in .*, got none yet/,
    );
    writeFileSync(join(run, 'log.jsonl'), 'Dear diary\n');
    expect(await maeOneLine(['report', run])).toMatch(/^log: expected .* to be the log of a run/);
  });

  test('a log alone, damaged in the middle: its curves, and notes of what is missing', async () => {
    const run = join(folder, 'log-alone');
    mkdirSync(run);
    const lines = readFileSync(join(two, 'log.jsonl'), 'utf8').trimEnd().split('\n');
    writeFileSync(join(run, 'log.jsonl'), `${lines.toSpliced(3, 0, '{"type":').join('\n')}\n`);
    const output = join(run, 'report.html');
    const { stderr } = await maeOk(['report', run, '-o', output]);
    expect(stderr.trimEnd().split('\n')).toEqual([
      'log-alone: No configuration: config.json is not there, or cannot be read.',
      'log-alone: Damaged lines of log.jsonl that are left out: 1.',
      'log-alone: No reconstructions: the run has no sheets of pictures.',
      'log-alone: No filters, positions and attention: the run has no checkpoint.',
      `wrote ${output}`,
    ]);
    expect(dataOf(output).runs[0]!.curves.find(({ tag }) => tag === 'train/loss')!.value).toHaveLength(8);
    await maeOk(['report', run, '-o', output]); // over its own
  });

  test('a run whose pictures are gone', async () => {
    const run = join(folder, 'moved');
    cpSync(one, run, { recursive: true });
    const path = join(run, 'pictures', 'pictures.json');
    writeFileSync(path, readFileSync(path, 'utf8').replaceAll('.jpg', '.gone'));
    const { stderr } = await maeOk(['report', run, '-o', join(folder, 'moved.html')]);
    expect(stderr).toContain('No attention maps: the pictures of the sheets are no longer in');
  });
});

describe.skipIf(chromiumPath === undefined)('the page in Chromium', () => {
  test('curves, values at the cursor, by pointer and by keys', async () => {
    const { page: shown, complaints, close } = await openFile(page);
    try {
      await shown.waitForSelector('.u-over');
      const losses = readLog(one, 'train');
      const loss = shown.locator(`tr[data-tag="train/loss"]`);
      expect(await loss.count()).toBe(2);
      // the last of each run where nothing is hovered
      expect(await loss.first().getAttribute('data-value')).toBe(`${losses.at(-1)!['loss']}`);
      const plot = shown.locator('.plot').first();
      await plot.focus();
      for (const step of [1, 2, 3]) {
        await shown.keyboard.press('ArrowRight');
        expect(await loss.first().getAttribute('data-step')).toBe(`${step}`);
        expect(await loss.first().getAttribute('data-value')).toBe(`${losses[step - 1]!['loss']}`);
      }
      await shown.keyboard.press('End');
      expect(await loss.first().getAttribute('data-step')).toBe('12');
      expect(await loss.last().getAttribute('data-step')).toBe('8'); // the other run has no more
      const over = (await shown.locator('.u-over').first().boundingBox())!;
      await shown.mouse.move(over.x + over.width / 2, over.y + over.height / 2);
      const step = Number(await loss.first().getAttribute('data-step'));
      expect([6, 7]).toContain(step); // the middle of 1 to 12
      expect(await loss.first().getAttribute('data-value')).toBe(`${losses[step - 1]!['loss']}`);
      expect(Number((await loss.first().locator('td').first().textContent())!)).toBeCloseTo(
        losses[step - 1]!['loss'] as number,
        3,
      );
      expect(complaints).toEqual([]);
    } finally {
      await close();
    }
  });

  test('points are drawn where the log has them', async () => {
    const { page: shown, close } = await openFile(page);
    try {
      await shown.waitForSelector('.u-over');
      await shown.locator('#smoothing').fill('0');
      await shown.locator('.plot').first().focus();
      const dot = shown.locator('.plot').first().locator('.u-cursor-pt').first();
      const losses = readLog(one, 'train').map((line) => line['loss'] as number);
      const drawn: { x: number; y: number }[] = [];
      for (const _ of losses) {
        await shown.keyboard.press('ArrowRight');
        const box = (await dot.boundingBox())!;
        drawn.push({ x: box.x, y: box.y });
      }
      // both axes are linear: two points of them tell where the others are
      const [low, high] = [losses.indexOf(Math.min(...losses)), losses.indexOf(Math.max(...losses))];
      const along = (from: number, to: number, share: number) => from + (to - from) * share;
      for (const [i, loss] of losses.entries()) {
        const share = (loss - losses[low]!) / (losses[high]! - losses[low]!);
        expect(Math.abs(drawn[i]!.y - along(drawn[low]!.y, drawn[high]!.y, share))).toBeLessThan(1.5);
        expect(Math.abs(drawn[i]!.x - along(drawn[0]!.x, drawn.at(-1)!.x, i / 11))).toBeLessThan(1.5);
      }
      expect(drawn[low]!.y - drawn[high]!.y).toBeGreaterThan(20);
    } finally {
      await close();
    }
  });

  test('settings: x, y, smoothing, runs; new data leave them', async () => {
    const { page: shown, complaints, close } = await openFile(page);
    try {
      await shown.waitForSelector('.u-over');
      const plot = shown.locator('.plot').first();
      const first = shown.locator('tr[data-tag="train/loss"]').first();
      await shown.selectOption('#x-scale', 'pictures');
      await plot.focus();
      await shown.keyboard.press('End');
      expect(await shown.locator('.readout caption').first().textContent()).toBe('Pictures seen 96');
      const before = await plot.screenshot();
      await shown.locator('#log').check();
      expect((await plot.screenshot()).equals(before)).toBe(false);
      await shown.locator('#smoothing').focus();
      await shown.keyboard.press('Home');
      expect(await first.locator('td').count()).toBe(2); // value and step, nothing smooth
      await shown.locator('.runs input').last().uncheck();
      expect(await shown.locator('tr[data-tag="train/loss"]').count()).toBe(1);
      await shown.evaluate(`
        const data = JSON.parse(document.getElementById('data').textContent);
        const curve = data.runs[0].curves.find(({ tag }) => tag === 'train/loss');
        curve.step.push(13);
        curve.value.push(0.125);
        curve.hours.push(1);
        data.runs[0].sheets.sheets.pop();
        document.getElementById('sheet').focus();
        maeReport.update(data);
      `);
      expect(await shown.evaluate('document.activeElement.id')).toBe('sheet');
      expect(await first.getAttribute('data-value')).toBe('0.125');
      expect(await shown.locator('#x-scale').inputValue()).toBe('pictures');
      expect(await shown.locator('#log').isChecked()).toBe(true);
      expect(await shown.locator('tr[data-tag="train/loss"]').count()).toBe(1);
      expect(complaints).toEqual([]);
    } finally {
      await close();
    }
  });

  test('the slider goes through the sheets by arrow keys', async () => {
    const { page: shown, close } = await openFile(page);
    try {
      const sheet = (i: number) =>
        `data:image/png;base64,${readFileSync(join(one, 'pictures', `epoch-000${i}.png`)).toString('base64')}`;
      const image = shown.locator('img.sheet');
      expect(await image.getAttribute('src')).toBe(sheet(3));
      await shown.locator('#sheet').focus();
      await shown.keyboard.press('ArrowLeft');
      expect(await image.getAttribute('src')).toBe(sheet(2));
      await shown.keyboard.press('Home');
      expect(await image.getAttribute('src')).toBe(sheet(0));
      expect(await shown.locator('output[for=sheet]').textContent()).toBe('epoch 0');
      // each picture of the page is one that a browser can read
      const widths = await shown
        .locator('img')
        .evaluateAll((all) => all.map((each) => (each as unknown as { naturalWidth: number }).naturalWidth));
      expect(widths).toHaveLength(1 + 4 + 3 + 3);
      expect(Math.min(...widths)).toBeGreaterThan(0);
    } finally {
      await close();
    }
  });

  test('nothing is wider than a phone, and names of files are no markup', async () => {
    const {
      page: shown,
      complaints,
      close,
    } = await openFile(page, { viewport: { width: 360, height: 700 } });
    try {
      await shown.waitForSelector('.u-over');
      expect(await shown.evaluate('document.documentElement.scrollWidth')).toBe(360);
      await shown.locator('summary').click(); // all options, paths among them
      expect(await shown.evaluate('document.documentElement.scrollWidth')).toBe(360);
      expect(await shown.locator('#options').textContent()).toContain(evil);
      expect(complaints).toEqual([]);
    } finally {
      await close();
    }
  });

  test('light and dark: as the browser says, then as the button says; all controls have names', async () => {
    const { page: shown, close } = await openFile(page, { colorScheme: 'dark' });
    try {
      await shown.waitForSelector('.u-over');
      const ground = () => shown.evaluate('getComputedStyle(document.body).backgroundColor');
      const dark = await ground();
      expect(dark).toBe('rgb(20, 23, 27)');
      await shown.locator('#theme').click();
      expect(await ground()).toBe('rgb(255, 255, 255)');
      await shown.locator('#theme').click();
      expect(await ground()).toBe(dark);
      for (const role of ['checkbox', 'slider', 'combobox', 'button', 'region'] as const) {
        const all = await shown.getByRole(role).all();
        const named = await shown.getByRole(role, { name: /\w/ }).all();
        expect([role, named.length]).toEqual([role, all.length]);
      }
      const plots = await shown.locator('.plot').all();
      for (const plot of plots) expect(await plot.getAttribute('aria-label')).toMatch(/^Chart: \w/);
      expect(plots.length).toBeGreaterThan(5);
    } finally {
      await close();
    }
  });
});

test('the page is small, and its policy lets nothing in', () => {
  expect(statSync(page).size).toBeLessThan(3e6);
  const html = readFileSync(page, 'utf8');
  const policy = /Content-Security-Policy" content="([^"]+)"/.exec(html)![1];
  expect(policy).toMatch(
    /^default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'; img-src data:; connect-src 'none'; /,
  );
  expect(html.split('<script')).toHaveLength(3);
  // not as toContain, which would print all of it: the licence of uPlot
  expect(['Leon Sorokin', 'Permission is hereby granted'].filter((text) => !html.includes(text))).toEqual([]);
});
