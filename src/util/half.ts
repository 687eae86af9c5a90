/** Numbers of 16 bits as their bits: float16 is IEEE 754 binary16, bfloat16 the upper half of a float32. */

/** The nearest float16; of two as near, the even one. */
export function float16Bits(number: number): number {
  const sign = number < 0 || Object.is(number, -0) ? 0x8000 : 0;
  const size = Math.abs(number);
  if (Number.isNaN(size)) return 0x7e00;
  if (size >= 65520) return sign | 0x7c00;
  // steps of 2⁻²⁴ below 2⁻¹⁴, 2¹⁰ steps to each power of two above it; rounding up to the next one carries over
  if (size < 2 ** -14) return sign | roundToEven(size * 2 ** 24);
  let exponent = Math.floor(Math.log2(size));
  if (2 ** exponent > size) exponent--;
  return sign | (((exponent + 15) << 10) + roundToEven(size * 2 ** (10 - exponent)) - 1024);
}

/** The nearest bfloat16; of two as near, the even one. */
export function bfloat16Bits(number: number): number {
  if (Number.isNaN(number)) return 0x7fc0;
  const bits = new Uint32Array(Float32Array.of(number).buffer)[0]!;
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

function roundToEven(number: number): number {
  const floor = Math.floor(number);
  const rest = number - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

export function bfloat16ToFloat32(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length);
  for (let i = 0; i < bits.length; i++) out[i] = bits[i]! << 16;
  return new Float32Array(out.buffer);
}

/** IEEE 754 binary16 (1 sign, 5 exponent, 10 fraction bits) to binary32 (1, 8, 23), exactly. */
export function float16ToFloat32(bits: Uint16Array): Float32Array {
  const out = new Uint32Array(bits.length);
  const values = new Float32Array(out.buffer);
  for (let i = 0; i < bits.length; i++) {
    const half = bits[i]!;
    const sign = (half & 0x8000) << 16;
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    if (exponent === 0) {
      values[i] = fraction / 2 ** 24; // zero and subnormals
      out[i] = out[i]! | sign;
    } else {
      // 127 − 15 = 112 is the difference of the biases; infinities and NaNs keep an exponent of all ones.
      out[i] = sign | ((exponent === 31 ? 255 : exponent + 112) << 23) | (fraction << 13);
    }
  }
  return values;
}
