import type { OnnxRuntimeApi, Pointer } from './api.js';

/** An execution provider: how sessions get it, and what people are told where it does not start. */
export interface Provider {
  /** Adds it to the options of a session; a UserError where it does not start. */
  append(api: OnnxRuntimeApi, sessionOptions: Pointer): void;
  /** What to throw in place of an error that came when a session was made. */
  explain(error: unknown, api: OnnxRuntimeApi): unknown;
}

/** A node without a kernel there would run on the CPU, with a copy of all that it reads and writes: an error instead. */
export function noFallback(api: OnnxRuntimeApi, sessionOptions: Pointer): void {
  api.call('AddSessionConfigEntry', sessionOptions, 'session.disable_cpu_ep_fallback', '1');
}

/** ONNX Runtime's message without the place in its sources: `<file>:<line> <function> <condition> was false. <text>`. */
export function withoutPlace(message: string): string {
  return message
    .split('\n')[0]!
    .replace(/^.* was false\. /, '')
    .replace(/[.\s]+$/, '');
}
