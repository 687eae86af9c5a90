import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { arch, cpus, platform } from 'node:os';
import type { Options } from 'yargs';
import { sharpUnavailable } from '../data/decode/sharp.js';
import { turboJpegUnavailable } from '../data/decode/turbojpeg.js';
import { formatGiB } from '../jobs/memory-estimate.js';
import { OnnxRuntimeApi } from '../runtime/api.js';
import { hostMemory } from '../runtime/device-memory.js';
import { findKernels } from '../runtime/kernels.js';
import { libraryVariable } from '../runtime/library.js';
import { withoutPlace } from '../runtime/provider.js';
import { providerNames, tryProvider } from '../runtime/providers.js';
import { describeCores } from '../util/cores.js';
import { messageOf } from '../util/errors.js';
import { version } from '../util/version.js';
import { cudaRows } from './doctor-cuda.js';
import { webgpuRows } from './doctor-webgpu.js';
import { print } from './print.js';

export const options = {} as const satisfies Record<string, Options>;

/** What is wrong and what to do about it. */
type Problem = string;

export async function run(): Promise<void> {
  const problems: Problem[] = [];
  const row = (name: string, value: string) => print(`${name.padEnd(22)}${value}`);

  row('mae', version);
  row('node', `${process.version}, ${platform()} ${arch()}`);
  for (const name of ['koffi', 'onnxruntime-node', 'sharp', '@julusian/jpeg-turbo', 'jpeg-js']) {
    row(name, packageVersion(name) ?? 'not installed');
  }
  row('processor', `${cpus()[0]?.model ?? 'unknown'}, ${describeCores()}`);
  const memory = hostMemory();
  row('memory', `${formatGiB(memory.totalBytes)}, ${formatGiB(memory.freeBytes)} free`);

  try {
    const api = new OnnxRuntimeApi();
    row('ONNX Runtime', `${api.version} at ${api.libraryPath}`);
    for (const name of Object.values(providerNames)) {
      const { problem } = tryProvider(name);
      row(`  ${name}`, problem === undefined ? 'starts' : `does not start: ${withoutPlace(problem)}`);
      if (name === providerNames.cuda)
        for (const [label, value] of cudaRows(api.libraryPath)) row(`    ${label}`, value);
      if (name === 'CPU' && problem !== undefined)
        problems.push(`the CPU provider does not start: ${problem}`);
    }
    for (const [name, value] of webgpuRows()) row(name, value);
  } catch (error) {
    row('ONNX Runtime', 'not found');
    problems.push(`${messageOf(error)}: run npm install again, or set ${libraryVariable}`);
  }

  const kernels = findKernels();
  const bfloat16 = 'isa' in kernels && kernels.hasFastBfloat16 ? ', fast at bfloat16' : '';
  row(
    'kernels',
    'isa' in kernels ? `${kernels.isa}${bfloat16}, ${kernels.path}` : `not used: ${kernels.reason}`,
  );

  const turbo = turboJpegUnavailable();
  row('libjpeg-turbo', turbo === undefined ? 'found: JPEG at full speed' : `not used: ${turbo}`);
  if (turbo !== undefined) problems.push('JPEG decodes through sharp or jpeg-js, several times slower');
  const noSharp = await sharpUnavailable();
  if (noSharp !== undefined)
    problems.push(`sharp: ${noSharp}; PNG, WebP and TIFF cannot be read: run npm install again`);

  print('');
  if (problems.length === 0) print('Nothing is missing for training on the CPU.');
  for (const problem of problems) print(`- ${problem}`);
}

function packageVersion(name: string): string | undefined {
  const { resolve } = createRequire(import.meta.url);
  for (const folder of resolve.paths(name) ?? []) {
    const path = `${folder}/${name}/package.json`;
    if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8')).version;
  }
  return undefined;
}
