import { UserError } from '../util/errors.js';
import { cudaDevice } from './cuda/device.js';
import { queryCudaDriver } from './cuda/driver.js';
import { parseCudaDevice } from './cuda/provider.js';
import { cpuDevice, type Device } from './device.js';
import { withoutPlace } from './provider.js';
import { providerNames, tryProvider } from './providers.js';
import { Runtime } from './runtime.js';
import { formatAdapter, preferredAdapter, vulkanAdapters } from './webgpu/adapters.js';
import { webgpuDevice, webgpuNotStarted } from './webgpu/device.js';

/**
 * The device that `--device` names, started once to see that it does; a UserError where it does not.
 *
 * @param precision as `--precision` says it: tf32 is an option of a device, and fp16 one that not every device has
 */
export function chooseDevice(name: string, precision?: string): Device {
  if (name === 'auto') return firstThatStarts(precision);
  const device = namedDevice(name, precision);
  if (device.memory !== undefined) new Runtime({ device }).release();
  return device;
}

function namedDevice(name: string, precision?: string): Device {
  const ordinal = parseCudaDevice(name);
  if (ordinal !== undefined) return onCuda(ordinal, precision);
  if (name === 'webgpu') {
    // first in another process: where it does not start, Vulkan has much to say on stderr
    const { problem } = tryProvider(providerNames.webgpu);
    if (problem !== undefined) throw webgpuNotStarted(problem);
    return onWebgpu(precision);
  }
  if (name === 'cpu') return cpuDevice;
  throw new UserError(
    `--device: expected auto, cpu, cuda, cuda:N with the number of a card, or webgpu, got "${name}"`,
  );
}

/** CUDA, WebGPU on a GPU, the CPU: the first that starts. Its description says why it is not one before it. */
function firstThatStarts(precision?: string): Device {
  const missing: string[] = [];
  const found =
    startsUnless(missing, 'CUDA', tryProvider(providerNames.cuda).problem, () => onCuda(0, precision)) ??
    startsUnless(missing, 'WebGPU', noGpuForWebgpu() ?? tryProvider(providerNames.webgpu).problem, () =>
      onWebgpu(precision),
    ) ??
    cpuDevice;
  const why = missing.length === 0 ? '' : ` (${missing.join('; ')})`;
  return { ...found, description: `${found.description}, --device auto${why}` };
}

function onCuda(ordinal: number, precision?: string): Device {
  const driver = queryCudaDriver();
  const card = 'cards' in driver ? driver.cards[ordinal] : undefined;
  return cudaDevice(ordinal, { tf32: precision === 'tf32', card });
}

function onWebgpu(precision?: string): Device {
  // to find out takes a second process
  const shaderF16 =
    precision === 'fp16' && tryProvider(providerNames.webgpu, 'float16').problem === undefined;
  return webgpuDevice(webgpuAdapterName(), shaderF16);
}

function startsUnless(
  missing: string[],
  what: string,
  problem: string | undefined,
  create: () => Device,
): Device | undefined {
  if (problem === undefined) return create();
  missing.push(`no ${what}: ${shortened(withoutPlace(problem))}`);
  return undefined;
}

/**
 * Why WebGPU is nothing for `auto`: a software adapter starts as well as a GPU, and is far slower than the CPU
 * provider. Vulkan's loader tells one from the other; Metal has GPUs alone; Direct3D's WARP cannot be told.
 */
function noGpuForWebgpu(): string | undefined {
  if (process.platform === 'darwin') return undefined;
  if (process.platform !== 'linux') {
    return `on ${process.platform} a GPU cannot be told from software; --device webgpu takes what there is`;
  }
  const adapters = vulkanAdapters();
  if ('problem' in adapters) return adapters.problem;
  const adapter = preferredAdapter(adapters);
  if (adapter === undefined) return 'Vulkan has no adapter';
  return adapter.kind === 'discrete' || adapter.kind === 'integrated'
    ? undefined
    : `no GPU, ${formatAdapter(adapter)} alone`;
}

/** What WebGPU most likely runs on; undefined where nobody says. */
function webgpuAdapterName(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const adapters = vulkanAdapters();
  const adapter = 'problem' in adapters ? undefined : preferredAdapter(adapters);
  return adapter && formatAdapter(adapter);
}

function shortened(message: string): string {
  return message.length > 160 ? `${message.slice(0, 160)}…` : message;
}
