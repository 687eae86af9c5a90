/** The files of a folder of results; apart from what writes them, which draws pictures by a library. */
export const resultFiles = {
  results: 'results.json',
  confusion: 'confusion.csv',
  confusionChart: 'confusion.png',
  neighbours: 'neighbours.png',
} as const;

/** What `results.json` begins with. */
export const resultsFormat = 'mae-evaluation';
