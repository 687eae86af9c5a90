/** Mean and deviation of ImageNet's RGB in [0, 1], by which every published MAE normalises its input. */
export const imagenetMean = [0.485, 0.456, 0.406] as const;
export const imagenetDeviation = [0.229, 0.224, 0.225] as const;

/** A byte of red (0), green (1) or blue (2) as the model sees it: (x/255 − mean) / deviation. */
export function normalizeByte(byte: number, channel: number): number {
  return (byte / 255 - imagenetMean[channel]!) / imagenetDeviation[channel]!;
}

/** The inverse of `normalizeByte`, neither rounded nor kept in 0…255. */
export function denormalizeToByte(value: number, channel: number): number {
  return 255 * (value * imagenetDeviation[channel]! + imagenetMean[channel]!);
}
