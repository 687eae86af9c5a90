/** The candidate that a misspelt word most likely stands for; undefined where none is near. */
export function closest(word: string, candidates: Iterable<string>): string | undefined {
  const wanted = plain(word);
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const candidate of candidates) {
    const given = plain(candidate);
    // a word that is cut short is near as well: --batch for --batch-size
    const isStart = wanted.length >= 3 && given.startsWith(wanted);
    const distance = isStart ? Math.min(1, given.length - wanted.length) : editDistance(wanted, given);
    if (distance >= bestDistance) continue;
    best = candidate;
    bestDistance = distance;
  }
  return best;
}

/** Without what people write in different ways: batchsize, batch_size, batchSize, batch-size. */
function plain(word: string): string {
  return word.toLowerCase().replace(/[-_.]/g, '');
}

/** Levenshtein's: the least number of letters put in, taken out or changed. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + Number(a[i - 1] !== b[j - 1]));
    }
    row = next;
  }
  return row[b.length]!;
}
