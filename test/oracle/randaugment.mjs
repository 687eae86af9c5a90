/**
 * RandAugment. Job: `output` (safetensors);
 * `pictures`, a file of uint8 [height, width, 3], and `operations`, { picture, name, argument }: operations.<i>, the pixels;
 * `arguments`, { name, magnitude, draws }: arguments.<i> [draws];
 * `policies`, texts, `names` and `draws`: policies.<i> [operations, 3], the draw, the place of the name, the argument.
 */
import { operator } from '../../dist/data/augment/operators.js';
import { parsePolicy } from '../../dist/data/augment/policy.js';
import { applyOperation, drawOperations } from '../../dist/data/augment/rand-augment.js';
import { RandomStream } from '../../dist/util/random.js';
import { readJob, readTensors, writeTensors } from './ours.mjs';

const job = readJob();
const pictures = await readTensors(job.pictures);
const tensors = new Map();

for (const [i, { picture, ...operation }] of job.operations.entries()) {
  const { shape, data: source } = pictures.get(picture);
  const data = Uint8Array.from(source);
  applyOperation(
    { height: shape[0], width: shape[1], data, scratch: new Uint8Array(data.length) },
    operation,
  );
  tensors.set(`operations.${i}`, { shape, data });
}

for (const [i, { name, magnitude, draws }] of job.arguments.entries()) {
  const random = new RandomStream(i, 'rand-augment');
  const data = Float64Array.from({ length: draws }, () => operator(name).argument(magnitude, random));
  tensors.set(`arguments.${i}`, { shape: [draws], data });
}

for (const [i, text] of job.policies.entries()) {
  const policy = parsePolicy(text);
  const rows = Array.from({ length: job.draws }, (_, position) =>
    drawOperations(new RandomStream(i, 'rand-augment', 0, position), policy).map(({ name, argument }) => [
      position,
      job.names.indexOf(name),
      argument,
    ]),
  ).flat();
  tensors.set(`policies.${i}`, { shape: [rows.length, 3], data: Float64Array.from(rows.flat()) });
}
await writeTensors(job.output, tensors);
