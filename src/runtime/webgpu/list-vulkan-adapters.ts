/** `node list-vulkan-adapters.js`: prints the adapters of the system's Vulkan loader as JSON, in its order. */
import koffi from 'koffi';
import { messageOf } from '../../util/errors.js';
import type { Adapter } from './adapters.js';

/** Adapter kinds by VkPhysicalDeviceType. */
const kinds: readonly Adapter['kind'][] = ['other', 'integrated', 'discrete', 'virtual', 'software'];

/** Layouts in vulkan_core.h: VkInstanceCreateInfo, where all but the type may be zero, and VkPhysicalDeviceProperties. */
const createInfoBytes = 64;
const createInfoType = 1;
const propertiesBytes = 1024;
const kindOffset = 16;
const nameOffset = 20;

/** VK_ERROR_INCOMPATIBLE_DRIVER, which is what the loader says without any. */
const incompatibleDriver = -9;

function vulkanAdapters(): Adapter[] {
  const library = koffi.load('libvulkan.so.1');
  const create = library.func('int vkCreateInstance(void *info, void *allocator, _Out_ void **instance)');
  const enumerate = library.func(
    'int vkEnumeratePhysicalDevices(void *instance, _Inout_ uint32_t *count, void *devices)',
  );
  const describe = library.func('void vkGetPhysicalDeviceProperties(void *device, void *properties)');
  const info = Buffer.alloc(createInfoBytes);
  info.writeUInt32LE(createInfoType);
  const instance: [bigint | null] = [null];
  const created = create(info, null, instance) as number;
  if (created === incompatibleDriver) throw new Error('Vulkan found no driver');
  if (created !== 0) throw new Error(`vkCreateInstance: VkResult ${created}`);
  const count: [number] = [0];
  enumerate(instance[0], count, null);
  const devices = new BigUint64Array(count[0]);
  enumerate(instance[0], count, devices);
  return Array.from(devices.subarray(0, count[0]), (device) => {
    const properties = Buffer.alloc(propertiesBytes);
    describe(device, properties);
    const kind = kinds[properties.readUInt32LE(kindOffset)] ?? 'other';
    const end = properties.indexOf(0, nameOffset);
    return { name: properties.toString('utf8', nameOffset, end), kind };
  });
}

try {
  console.log(JSON.stringify(vulkanAdapters()));
} catch (error) {
  console.log(messageOf(error).split('\n')[0]);
  process.exitCode = 1;
}
