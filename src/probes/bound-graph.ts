import type { Graph, Value } from '../compiler/graph/graph.js';
import { lowerGraph } from '../compiler/lowering/lower.js';
import { encodeModel } from '../compiler/onnx/encode.js';
import type { Runtime } from '../runtime/runtime.js';
import type { Binding, Session } from '../runtime/session.js';
import type { Tensor } from '../runtime/tensor.js';
import type { Shape } from '../util/shape.js';

/** A graph in a session, bound once to arrays of the host that it reads and writes in each run. */
export class BoundGraph {
  readonly #session: Session;
  readonly #tensors: Tensor[] = [];
  readonly #binding: Binding;

  /** @param arrays float32, for every input and output of the graph by its name */
  constructor(runtime: Runtime, graph: Graph, arrays: Readonly<Record<string, Float32Array>>) {
    const tensor = (name: string, shape: Shape): [string, Tensor] => {
      const created = runtime.tensor(arrays[name]!, shape);
      this.#tensors.push(created);
      return [name, created];
    };
    this.#session = runtime.createSession(encodeModel(lowerGraph(graph, { lacks: runtime.device.lacks })));
    this.#binding = this.#session.bind(
      Object.fromEntries(graph.inputs.map((value) => tensor(inputName(value), value.shape))),
      Object.fromEntries(graph.outputs.map(({ name, value }) => tensor(name, value.shape))),
    );
  }

  /** @param changed inputs whose arrays have changed since the last run */
  run(...changed: readonly string[]): Promise<void> {
    this.#binding.send(...changed);
    return this.#binding.run();
  }

  release(): void {
    this.#session.release();
    for (const tensor of this.#tensors) tensor.release();
  }
}

function inputName({ source }: Value): string {
  if (source.kind !== 'input') throw new TypeError('BoundGraph: expected inputs');
  return source.name;
}
