/** What a process takes of a card and of the host while it runs, and how busy the card is: nvidia-smi and /proc. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

const everyMilliseconds = 100;

export class CardSampler {
  #isCuda;
  #card;
  #smi;
  #timer;
  /** Bytes of the card, bytes of the host, percent of time that kernels ran. */
  #cardBytes = [];
  #hostBytes = [];
  #busy = [];

  /** @param device cuda or cuda:N; of any other only the host's memory is looked at. */
  constructor(device) {
    this.#isCuda = device.startsWith('cuda');
    // nvidia-smi counts all cards, CUDA those that are visible
    const visible = process.env.CUDA_VISIBLE_DEVICES?.split(',').map((name) => name.trim());
    const ordinal = Number(device.split(':')[1] ?? 0);
    this.#card = visible?.[ordinal] ?? String(ordinal);
  }

  start(pid) {
    this.#timer = setInterval(() => {
      try {
        const kibibytes = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
        if (kibibytes !== undefined) this.#hostBytes.push(1024 * Number(kibibytes));
      } catch {
        // it has ended, or this is not Linux
      }
    }, everyMilliseconds);
    if (!this.#isCuda || spawnSync('nvidia-smi', ['-L']).status !== 0) return;
    const query = ['--query-gpu=memory.used,utilization.gpu', '--format=csv,noheader,nounits'];
    this.#smi = spawn('nvidia-smi', ['-i', this.#card, ...query, '-lms', String(everyMilliseconds)], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#smi.stdout.setEncoding('utf8').on('data', (text) => {
      for (const line of text.trim().split('\n')) {
        const [mebibytes, percent] = line.split(',').map(Number);
        if (Number.isFinite(mebibytes)) this.#cardBytes.push(2 ** 20 * mebibytes);
        if (Number.isFinite(percent)) this.#busy.push(percent);
      }
    });
  }

  /** Growth from the end of the first tenth to the end, as a share; the most bytes of the card; its mean load. */
  stop() {
    clearInterval(this.#timer);
    this.#smi?.kill();
    const growth = {};
    for (const [name, samples] of Object.entries({ card: this.#cardBytes, host: this.#hostBytes })) {
      if (samples.length < 20) continue;
      // at the very end the process takes things down
      const early = Math.max(
        ...samples.slice(Math.floor(0.1 * samples.length), Math.floor(0.2 * samples.length)),
      );
      const late = Math.max(
        ...samples.slice(Math.floor(0.85 * samples.length), Math.floor(0.95 * samples.length)),
      );
      growth[name] = late / early - 1;
    }
    // the busiest half: a run also starts and ends
    const busiest = [...this.#busy].sort((a, b) => b - a).slice(0, Math.ceil(this.#busy.length / 2));
    return {
      growth,
      peakBytes: this.#cardBytes.length === 0 ? undefined : Math.max(...this.#cardBytes),
      utilization:
        busiest.length === 0 ? undefined : busiest.reduce((sum, each) => sum + each, 0) / busiest.length,
    };
  }
}
