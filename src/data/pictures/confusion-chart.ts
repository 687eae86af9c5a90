import { png, shortened, text, widthOf } from './svg.js';

/** Classes up to which counts stand in the cells. */
const mostCounted = 20;
const longestName = 24;

/** The confusion matrix as a PNG: a row for each true class, shaded by the share of its images. counts: [C, C]. */
export function confusionChart(
  counts: Int32Array,
  classNames: readonly string[],
  title: string,
): Promise<Buffer> {
  const classes = classNames.length;
  const isCounted = classes <= mostCounted;
  const cell = isCounted ? 44 : Math.max(2, Math.min(24, Math.floor(1600 / classes)));
  const size = isCounted ? 14 : Math.max(8, Math.min(13, cell - 2));
  const hasNames = cell >= 9;
  const names = classNames.map((name) => shortened(name, longestName));
  const longest = hasNames ? Math.max(...names.map((name) => widthOf(name, size))) : 0;
  const left = longest + 44;
  const top = Math.ceil(longest * 0.75) + 72;
  const width = Math.max(left + classes * cell + Math.ceil(longest * 0.75) + 16, widthOf(title, 16) + 32);
  const height = top + classes * cell + 40;
  const elements = [
    text({ x: 16, y: 22, text: title, size: 16 }),
    text({
      x: left + (classes * cell) / 2,
      y: 48,
      text: 'predicted',
      size: 14,
      anchor: 'middle',
      fill: '#555',
    }),
    text({
      x: 18,
      y: top + (classes * cell) / 2,
      text: 'true',
      size: 14,
      anchor: 'middle',
      fill: '#555',
      turn: -90,
    }),
  ];
  for (let row = 0; row < classes; row++) {
    const ofRow = counts.subarray(row * classes, (row + 1) * classes);
    const total = ofRow.reduce((sum, count) => sum + count, 0);
    const y = top + row * cell;
    for (const [column, count] of ofRow.entries()) {
      const share = total === 0 ? 0 : count / total;
      const x = left + column * cell;
      elements.push(
        `<rect x="${x}" y="${y}" width="${cell}" height="${cell}" fill="${shade(share, row === column)}"/>`,
      );
      if (!isCounted || count === 0) continue;
      const fill = share > 0.4 ? '#fff' : '#222';
      elements.push(
        text({ x: x + cell / 2, y: y + cell / 2, text: `${count}`, size: 13, anchor: 'middle', fill }),
      );
    }
    if (!hasNames) continue;
    const middle = (row + 0.5) * cell;
    elements.push(
      text({ x: left - 8, y: top + middle, text: names[row]!, size, anchor: 'end' }),
      text({ x: left + middle, y: top - 8, text: names[row]!, size, turn: -45 }),
    );
  }
  elements.push(frame(left, top, classes * cell));
  const note = isCounted ? 'images' : 'shade: share of the class’s images';
  elements.push(
    text({ x: left, y: height - 18, text: `${note}; blue: right, red: wrong`, size: 12, fill: '#555' }),
  );
  return png(elements, width, height);
}

function frame(x: number, y: number, side: number): string {
  return `<rect x="${x}" y="${y}" width="${side}" height="${side}" fill="none" stroke="#999"/>`;
}

/** White to blue where it is right, to red where it is wrong; the root shows small shares. */
function shade(share: number, isRight: boolean): string {
  const strength = Math.sqrt(share);
  const [r, g, b] = isRight ? [8, 81, 156] : [178, 24, 43];
  const mixed = [r, g, b].map((channel) => Math.round(255 + (channel - 255) * strength));
  return `rgb(${mixed.join(',')})`;
}
