/** The operands of a pickle's instructions. No memory is taken for a length that the bytes do not have. */

const limits = { integerBytes: 64, nameLength: 256 } as const;

export class PickleBytes {
  readonly #bytes: Buffer;
  readonly #damaged: (got: string) => Error;
  /** Bytes read so far. */
  at = 0;

  /** `damaged` makes the error of bytes that cannot be read. */
  constructor(bytes: Uint8Array, damaged: (got: string) => Error) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#damaged = damaged;
  }

  /** A view of the next bytes. */
  take(length: number): Buffer {
    if (length > this.#bytes.length - this.at) throw this.#damaged('an end in the middle');
    this.at += length;
    return this.#bytes.subarray(this.at - length, this.at);
  }

  unsigned(length: 1 | 2 | 4): number {
    return this.take(length).readUIntLE(0, length);
  }

  /** A length of eight bytes. */
  long(): number {
    const value = this.take(8).readBigUInt64LE();
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.#damaged(`a length of ${value}`);
    return Number(value);
  }

  /** Two's complement, little-endian; a bigint beyond 2^53. */
  integer(length: number): number | bigint {
    if (length > limits.integerBytes) throw this.#damaged(`an integer of ${length} bytes`);
    let value = 0n;
    for (const byte of this.take(length).toReversed()) value = (value << 8n) | BigInt(byte);
    value = BigInt.asIntN(8 * length, value);
    return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  }

  text(length: number): string {
    return this.take(length).toString('utf8');
  }

  /** Text up to the end of its line. */
  line(): string {
    const end = this.#bytes.indexOf(0x0a, this.at);
    if (end < 0 || end - this.at > limits.nameLength) throw this.#damaged('a name without end');
    const text = this.text(end - this.at);
    this.at++;
    return text;
  }
}
