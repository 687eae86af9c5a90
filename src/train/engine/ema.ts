import type { Runtime } from '../../runtime/runtime.js';
import type { Binding, Session } from '../../runtime/session.js';
import type { DeviceArenas } from './device-arenas.js';

/** The exponential moving average of trained parameters, where they are; each step writes over the last. */
export class Ema {
  readonly #session: Session;
  readonly #bindings: readonly Binding[];

  constructor(runtime: Runtime, model: Uint8Array, arenas: DeviceArenas) {
    this.#session = runtime.createSession(model);
    this.#bindings = arenas.parts(false).map((part) => {
      const ema = arenas.average('ema', part);
      return this.#session.bind({ ema, param: arenas.parameter(part) }, { ema_out: ema });
    });
  }

  async update(): Promise<void> {
    for (const binding of this.#bindings) await binding.run();
  }

  release(): void {
    this.#session.release();
  }
}
