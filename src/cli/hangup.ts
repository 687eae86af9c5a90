import { readFileSync } from 'node:fs';
import { basename } from 'node:path';

/**
 * Whether this process was started to outlive its terminal (`nohup mae …`, or a script under nohup). nohup does that by
 * ignoring SIGHUP, and Node sets every signal back to its default when it starts, so other traces have to tell: the
 * name of the program that the shell started, standard input as GNU nohup leaves it (for writing only), and whether the
 * parent ignores the signal, as a script under nohup does.
 */
export function ignoresHangup(
  { environment, processes }: { environment: NodeJS.ProcessEnv; processes: string } = {
    environment: process.env,
    processes: '/proc',
  },
): boolean {
  const read = (path: string): string => {
    try {
      return readFileSync(`${processes}/${path}`, 'utf8');
    } catch {
      return ''; // not Linux
    }
  };
  if (basename(environment['_'] ?? '') === 'nohup') return true;
  const flags = /^flags:\s*([0-7]+)$/m.exec(read('self/fdinfo/0'))?.[1];
  if (flags !== undefined && (Number.parseInt(flags, 8) & accessMode) === writeOnly) return true;
  const ignored = /^SigIgn:\s*([0-9a-f]+)$/m.exec(read(`${process.ppid}/status`))?.[1];
  return ignored !== undefined && (BigInt(`0x${ignored}`) & hangupBit) !== 0n;
}

// O_ACCMODE and O_WRONLY of fcntl.h; bit n − 1 of the mask is signal n, and SIGHUP is 1
const accessMode = 3;
const writeOnly = 1;
const hangupBit = 1n;
