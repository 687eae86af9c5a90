/**
 * A reader of Python pickles that never calls anything: a pickle is a program, and this machine runs only the
 * instructions that build containers, strings and numbers. A name of Python is looked up in a table of inert
 * builders; one that is not there ends the reading. Protocols 2 to 5, without what torch.save never writes.
 * Source of the opcodes: the comments of CPython's Lib/pickletools.py (PEP 307, 3154, 574).
 */
import { UserError } from '../../../util/errors.js';
import { PickleBytes } from './pickle-bytes.js';

export type PickleValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | Uint8Array
  | PickleValue[] // lists and tuples
  | Map<PickleValue, PickleValue>
  | Set<PickleValue>
  | object; // what builders return, and Globals

/** What a name of Python may do here. All of them are ours and pure. */
export interface Builder {
  /** The value of `name(...args)`. */
  readonly call?: (args: PickleValue[]) => PickleValue;
  /** The value of `name.__new__(name)`, which may be given a state later. */
  readonly create?: () => PickleValue;
}

/** A name of Python, as a value: a type of numbers or of storage, or something to be called. */
export class Global {
  readonly name: string;
  readonly builder: Builder;

  constructor(name: string, builder: Builder) {
    this.name = name;
    this.builder = builder;
  }
}

/** An object of which only its fields are known; never one that does anything. */
export class Fields {
  readonly type: string;
  fields: ReadonlyMap<PickleValue, PickleValue> = new Map();

  constructor(type: string) {
    this.type = type;
  }
}

export interface PickleOptions {
  /** The builder of `module.name`; undefined where it is not allowed. */
  readonly find: (name: string) => Builder | undefined;
  /** The value of a persistent id (torch's storages). */
  readonly persistent: (id: PickleValue) => PickleValue;
  /** Names the file in errors. */
  readonly path: string;
}

// A whole training checkpoint of ViT-H has about 60,000 instructions and 10,000 containers.
const limits = { instructions: 2 ** 20, containers: 2 ** 17 } as const;

/** The value that a pickle describes; UserError for a damaged one and for one that wants anything else. */
export function unpickle(bytes: Uint8Array, options: PickleOptions): PickleValue {
  return new Machine(bytes, options).run();
}

const mark = Symbol('mark');
type Slot = PickleValue | typeof mark;

class Machine {
  readonly #options: PickleOptions;
  readonly #bytes: PickleBytes;
  #stack: Slot[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #containers = 0;

  constructor(bytes: Uint8Array, options: PickleOptions) {
    this.#options = options;
    this.#bytes = new PickleBytes(bytes, (got) => this.#damaged(got));
  }

  run(): PickleValue {
    for (let instructions = 0; ; instructions++) {
      if (instructions > limits.instructions) throw this.#damaged(`more than ${instructions} instructions`);
      const opcode = this.#bytes.unsigned(1);
      if (instructions === 0 && opcode !== 0x80) throw this.#damaged('no protocol of 2 or more');
      if (opcode === 0x2e) break; // STOP
      const value = this.#step(opcode);
      if (value !== undefined) this.#stack.push(value);
    }
    const result = this.#pop();
    if (this.#stack.length > 0) throw this.#damaged('values left over at its end');
    return result;
  }

  /** Does one instruction; returns the value that it pushes, if any. */
  #step(opcode: number): PickleValue | undefined {
    switch (opcode) {
      case 0x80: {
        // PROTO
        const protocol = this.#bytes.unsigned(1);
        if (protocol < 2 || protocol > 5) throw this.#damaged(`protocol ${protocol}`);
        return undefined;
      }
      case 0x95: // FRAME: a hint for reading ahead
        this.#bytes.long();
        return undefined;

      case 0x28: // MARK
        this.#stack.push(mark);
        return undefined;
      case 0x30: // POP
        if (this.#stack.pop() === undefined) throw this.#damaged('an empty stack');
        return undefined;
      case 0x31: // POP_MARK
        this.#popMark();
        return undefined;
      case 0x32: // DUP
        this.#stack.push(this.#top());
        return undefined;

      case 0x4e: // NONE
        return null;
      case 0x88: // NEWTRUE
        return true;
      case 0x89: // NEWFALSE
        return false;
      case 0x4a: // BININT
        return this.#bytes.take(4).readInt32LE();
      case 0x4b: // BININT1
        return this.#bytes.unsigned(1);
      case 0x4d: // BININT2
        return this.#bytes.unsigned(2);
      case 0x8a: // LONG1
        return this.#bytes.integer(this.#bytes.unsigned(1));
      case 0x8b: // LONG4
        return this.#bytes.integer(this.#bytes.unsigned(4));
      case 0x47: // BINFLOAT
        return this.#bytes.take(8).readDoubleBE();

      case 0x58: // BINUNICODE
      case 0x54: // BINSTRING, Python 2's
        return this.#bytes.text(this.#bytes.unsigned(4));
      case 0x8c: // SHORT_BINUNICODE
      case 0x55: // SHORT_BINSTRING
        return this.#bytes.text(this.#bytes.unsigned(1));
      case 0x8d: // BINUNICODE8
        return this.#bytes.text(this.#bytes.long());
      case 0x43: // SHORT_BINBYTES
        return this.#bytes.take(this.#bytes.unsigned(1));
      case 0x42: // BINBYTES
        return this.#bytes.take(this.#bytes.unsigned(4));
      case 0x8e: // BINBYTES8
      case 0x96: // BYTEARRAY8
        return this.#bytes.take(this.#bytes.long());

      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        return this.#counted([]);
      case 0x6c: // LIST
      case 0x74: // TUPLE
        return this.#counted(this.#popMark());
      case 0x85: // TUPLE1, TUPLE2, TUPLE3
      case 0x86:
      case 0x87:
        return this.#counted(this.#popMany(opcode - 0x84));
      case 0x61: // APPEND
        this.#append([this.#pop()]);
        return undefined;
      case 0x65: // APPENDS
        this.#append(this.#popMark());
        return undefined;

      case 0x7d: // EMPTY_DICT
        return this.#counted(new Map());
      case 0x64: {
        // DICT
        const items = this.#popMark();
        return this.#setItems(this.#counted(new Map()), items);
      }
      case 0x73: {
        // SETITEM
        const items = this.#popMany(2);
        this.#setItems(this.#top(), items);
        return undefined;
      }
      case 0x75: {
        // SETITEMS
        const items = this.#popMark();
        this.#setItems(this.#top(), items);
        return undefined;
      }

      case 0x8f: // EMPTY_SET
        return this.#counted(new Set());
      case 0x90: {
        // ADDITEMS
        const items = this.#popMark();
        const set = this.#top();
        if (!(set instanceof Set)) throw this.#damaged('items of a set for something else');
        for (const item of items) set.add(item);
        return undefined;
      }
      case 0x91: // FROZENSET
        return this.#counted(new Set(this.#popMark()));

      case 0x68: // BINGET
        return this.#get(this.#bytes.unsigned(1));
      case 0x6a: // LONG_BINGET
        return this.#get(this.#bytes.unsigned(4));
      case 0x71: // BINPUT
        this.#memo.set(this.#bytes.unsigned(1), this.#top());
        return undefined;
      case 0x72: // LONG_BINPUT
        this.#memo.set(this.#bytes.unsigned(4), this.#top());
        return undefined;
      case 0x94: // MEMOIZE
        this.#memo.set(this.#memo.size, this.#top());
        return undefined;

      case 0x63: // GLOBAL
        return this.#global(this.#bytes.line(), this.#bytes.line());
      case 0x93: {
        // STACK_GLOBAL
        const [module, name] = this.#popMany(2);
        if (typeof module !== 'string' || typeof name !== 'string') throw this.#damaged('a name of no text');
        return this.#global(module, name);
      }
      case 0x52: {
        // REDUCE: name(*args)
        const [target, args] = this.#popMany(2);
        return this.#build(target!, args!);
      }
      case 0x81: {
        // NEWOBJ: name.__new__(name, *args)
        const [target, args] = this.#popMany(2);
        return this.#create(target!, args!);
      }
      case 0x92: {
        // NEWOBJ_EX: the same with keywords
        const [target, args, keywords] = this.#popMany(3);
        if (!(keywords instanceof Map) || keywords.size > 0)
          throw this.#forbidden(describe(target!), 'keywords');
        return this.#create(target!, args!);
      }
      case 0x62: // BUILD: object.__setstate__(state)
        this.#setState(this.#pop());
        return undefined;
      case 0x51: // BINPERSID
        return this.#options.persistent(this.#pop());

      case 0x69: // INST: name(*args), protocol 0
        throw this.#forbidden(`${this.#bytes.line()}.${this.#bytes.line()}`);
      case 0x6f: // OBJ
        throw this.#forbidden(describe(this.#popMark()[0] ?? null));
      default:
        throw this.#damaged(`the instruction 0x${opcode.toString(16)} at ${this.#bytes.at - 1}`);
    }
  }

  // ---- names of Python ----

  #global(module: string, name: string): Global {
    const full = `${module}.${name}`;
    const builder = this.#options.find(full);
    if (builder === undefined) throw this.#forbidden(full);
    return new Global(full, builder);
  }

  #build(target: PickleValue, args: PickleValue): PickleValue {
    const call = target instanceof Global ? target.builder.call : undefined;
    if (call === undefined || !Array.isArray(args)) throw this.#forbidden(describe(target));
    return this.#counted(call(args));
  }

  #create(target: PickleValue, args: PickleValue): PickleValue {
    const create = target instanceof Global ? target.builder.create : undefined;
    if (create === undefined || !Array.isArray(args) || args.length > 0) {
      throw this.#forbidden(describe(target));
    }
    return this.#counted(create());
  }

  #setState(state: PickleValue): void {
    const target = this.#top();
    if (target instanceof Fields && state instanceof Map) target.fields = state;
    // An OrderedDict's attributes (`_metadata` of a state dict) say nothing of its items.
    else if (!(target instanceof Map && state instanceof Map)) {
      throw this.#forbidden(describe(target), 'a state');
    }
  }

  // ---- the stack ----

  /** Counts what takes more memory than its instructions do. */
  #counted<T>(value: T): T {
    if (++this.#containers > limits.containers) throw this.#damaged(`more than ${limits.containers} objects`);
    return value;
  }

  #top(): PickleValue {
    const value = this.#stack.at(-1);
    if (value === undefined || value === mark) throw this.#damaged('an empty stack');
    return value as PickleValue;
  }

  #pop(): PickleValue {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #popMany(count: number): PickleValue[] {
    const values = this.#stack.splice(Math.max(0, this.#stack.length - count));
    if (values.length < count || values.includes(mark)) throw this.#damaged('an empty stack');
    return values as PickleValue[];
  }

  /** What lies above the last mark. */
  #popMark(): PickleValue[] {
    const place = this.#stack.lastIndexOf(mark);
    if (place < 0) throw this.#damaged('no mark');
    const values = this.#stack.splice(place);
    return values.slice(1) as PickleValue[];
  }

  #append(values: PickleValue[]): void {
    const list = this.#top();
    if (!Array.isArray(list)) throw this.#damaged('items of a list for something else');
    for (const value of values) list.push(value);
  }

  #setItems(map: PickleValue, items: PickleValue[]): PickleValue {
    if (!(map instanceof Map) || items.length % 2 !== 0)
      throw this.#damaged('items of a dict for something else');
    for (let i = 0; i < items.length; i += 2) map.set(items[i]!, items[i + 1]!);
    return map;
  }

  #get(index: number): PickleValue {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.#damaged(`no value ${index} to repeat`);
    return value;
  }

  // ---- errors ----

  #damaged(got: string): UserError {
    return new UserError(
      `pickle: expected ${this.#options.path} to hold tensors saved by torch.save, got ${got}; ` +
        'it is damaged or something else: copy, download or save it again',
    );
  }

  #forbidden(name: string, what = 'a call or use'): UserError {
    const shown = name.length > 80 ? `${name.slice(0, 77)}...` : name;
    return new UserError(
      `pickle: expected only tensors and containers in ${this.#options.path}, got ${what} of ${JSON.stringify(shown)}; ` +
        'nothing of it was run: if you trust the file, load it in Python and save its state dict alone',
    );
  }
}

function describe(target: PickleValue): string {
  if (target instanceof Global) return target.name;
  if (target instanceof Fields) return target.type;
  if (target === null || typeof target !== 'object') return String(target).slice(0, 80);
  return target.constructor.name;
}
