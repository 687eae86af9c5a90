/** A WebGPU adapter for tests: the machine's own, or SwiftShader, the software Vulkan driver of Debian's chromium. */
import { existsSync } from 'node:fs';
import { tryProvider } from '../../src/runtime/providers.js';

const swiftShader = '/usr/lib/chromium/vk_swiftshader_icd.json';

// before anything loads Vulkan in this process; child processes inherit it
if (process.env['VK_DRIVER_FILES'] === undefined && existsSync(swiftShader)) {
  process.env['VK_DRIVER_FILES'] = swiftShader;
  process.env['VK_ICD_FILENAMES'] = swiftShader;
}

/** Why there is no WebGPU here; undefined where it starts. */
export const webgpuProblem = tryProvider('WebGPU').problem;
if (webgpuProblem !== undefined) console.warn(`WebGPU is not tested: ${webgpuProblem}`);
