import { describe, expect, it } from 'vitest';
import { UserError } from '../../../../src/util/errors.js';
import { Fields, type PickleValue, unpickle } from '../../../../src/weights/foreign/pth/pickle.js';

/** A pickle of protocol 2 from texts of its opcodes and bytes. */
function pickle(...pieces: (string | number | number[] | Buffer)[]): Buffer {
  const bytes = pieces.map((piece) => {
    if (typeof piece === 'number') return Buffer.from([piece]);
    return typeof piece === 'string' ? Buffer.from(piece, 'latin1') : Buffer.from(piece);
  });
  return Buffer.concat([Buffer.from([0x80, 2]), ...bytes]);
}

/** A pickle as Python writes it: `pickle.dumps(value, protocol)`. */
const fromPython = (hex: string) => Buffer.from(hex, 'hex');

const calls: PickleValue[][] = [];
const options = {
  path: 'some.pth',
  find: (name: string) => {
    if (name === 'ours.call') return { call: (args: PickleValue[]) => calls.push(args) };
    return name === 'ours.Record' ? { create: () => new Fields('ours.Record') } : undefined;
  },
  persistent: (id: PickleValue) => ['persistent', id],
};
const read = (bytes: Buffer) => unpickle(bytes, options);

function refusal(bytes: Buffer): string {
  try {
    read(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as Error).message;
  }
  throw new Error('not refused');
}

describe('values', () => {
  it('containers, texts, numbers, truths', () => {
    // {'a': [1, -1, 256, 70000, 2**40, -2**70, 0.5, True, None, 'ü'], 'b': (), 'c': (1,), 'd': {1: 2}}
    const expected = new Map<string, unknown>([
      ['a', [1, -1, 256, 70000, 2 ** 40, -(2n ** 70n), 0.5, true, null, 'ü']],
      ['b', []],
      ['c', [1]],
      ['d', new Map([[1, 2]])],
    ]);
    for (const hex of [
      '80027d71002858010000006171015d7102284b014affffffff4d00014a701101008a060000000000018a090000000000000000c0473fe0000000000000884e5802000000c3bc71036558010000006271042958010000006371054b0185710658010000006471077d71084b014b0273752e',
      '80049557000000000000007d94288c0161945d94284b014affffffff4d00014a701101008a060000000000018a090000000000000000c0473fe0000000000000884e8c02c3bc94658c016294298c0163944b0185948c0164947d944b014b0273752e',
    ]) {
      expect(read(fromPython(hex))).toEqual(expected);
    }
  });

  it('sets, bytes, and a list that holds itself', () => {
    // {1, 2} and frozenset({3}) of protocol 4; b'ab'
    expect(read(fromPython('80048f94284b014b02902e'))).toEqual(new Set([1, 2]));
    expect(read(fromPython('8004284b0391942e'))).toEqual(new Set([3]));
    expect(Buffer.from(read(fromPython('800443026162942e')) as Uint8Array).toString()).toBe('ab');
    const list = read(pickle(']q', 0, 'h', 0, 'a.')) as PickleValue[];
    expect(list[0]).toBe(list);
  });

  it('records and persistent references are made of what they are given', () => {
    const record = read(pickle('cours\nRecord\n)', 0x81, '}U', 1, 'aK', 7, 'sb.')) as Fields;
    expect(record).toBeInstanceOf(Fields);
    expect(record.fields).toEqual(new Map([['a', 7]]));
    expect(read(pickle('K', 5, 'Q.'))).toEqual(['persistent', 5]);
    // a name that means something to JavaScript is a key like any other
    const map = read(pickle('}U', 9, '__proto__}s.')) as Map<string, unknown>;
    expect(map.has('__proto__')).toBe(true);
    expect(Object.getPrototypeOf(map)).toBe(Map.prototype);
  });
});

describe('what is never done', () => {
  it.each<[string, Buffer, string]>([
    ['GLOBAL', pickle('cos\nsystem\n.'), 'os.system'],
    ['STACK_GLOBAL', pickle('U', 2, 'osU', 6, 'system', 0x93, '.'), 'os.system'],
    ['REDUCE', pickle('cos\nsystem\nU', 2, 'ls', 0x85, 'R.'), 'os.system'],
    ['REDUCE of a text', pickle('U', 6, 'system)R.'), 'system'],
    ['NEWOBJ of what is only called', pickle('cours\ncall\n)', 0x81, '.'), 'ours.call'],
    ['a call of what is only made', pickle('cours\nRecord\n)R.'), 'ours.Record'],
    ['INST', pickle('(ios\nsystem\n.'), 'os.system'],
    ['OBJ', pickle('(cours\ncall\no.'), 'ours.call'],
    ['BUILD of a list', pickle(']}b.'), 'Array'],
    ['BUILD of a function', pickle('cours\ncall\n}b.'), 'ours.call'],
    ['a name of JavaScript', pickle('cObject\nconstructor\n.'), 'Object.constructor'],
    ['keywords', pickle('cours\nRecord\n)}K', 1, 'K', 1, 's', 0x92, '.'), 'ours.Record'],
  ])('%s', (_, bytes, name) => {
    const message = refusal(bytes);
    expect(message).toContain('pickle: expected only tensors and containers in some.pth');
    expect(message).toContain(JSON.stringify(name));
    expect(message).toContain('nothing of it was run');
    expect(calls).toEqual([]);
  });
});

describe('what is not a pickle', () => {
  const int64 = (value: bigint) => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(value);
    return bytes;
  };
  it.each<[string, Buffer]>([
    ['an end in the middle', pickle('K')],
    ['an end in the middle', pickle('X', [255, 255, 255, 127], 'abc')],
    ['an end in the middle', pickle(0x8d, int64(2n ** 50n), 'abc')],
    ['a length of 18446744073709551615', pickle(0x96, int64(2n ** 64n - 1n))],
    ['an integer of 4294967295 bytes', pickle(0x8b, [255, 255, 255, 255])],
    ['no protocol', Buffer.from('N.')],
    ['protocol 9', Buffer.from([0x80, 9])],
    ['an empty stack', pickle('.')],
    ['an empty stack', pickle('(.')],
    ['an empty stack', pickle('(', 0x85, '.')],
    ['an empty stack', pickle('q', 0)],
    ['no mark', pickle('Nt.')],
    ['no value 7', pickle('h', 7)],
    ['values left over', pickle('NN.')],
    ['items of a list', pickle('}Na.')],
    ['items of a dict', pickle(']NNs.')],
    ['items of a dict', pickle('}(NNNu.')],
    ['the instruction 0xff', pickle(0xff)],
    ['a name without end', pickle('cos')],
    ['a name without end', pickle(`c${'a'.repeat(300)}\nb\n`)],
    ['more than 131072 objects', pickle(`${'}'.repeat(200_000)}.`)],
    ['instructions', pickle(`${'N0'.repeat(600_000)}N.`)],
  ])('%s', (message, bytes) => {
    expect(refusal(bytes)).toContain(message);
  });
});
