/**
 * Training graphs of two versions. Every node of the one before is in this one: the same operator with the same
 * attributes on the same values, whatever nodes and values are called. Nodes that nothing but the output
 * gradient_norm needs are left out: a version may compute the norm elsewhere.
 */
import { createHash } from 'node:crypto';
import onnxProto from 'onnx-proto';

const { onnx } = onnxProto;
const norm = 'gradient_norm';

/** How many names a line tells. */
const shown = 8;

export function compareTrainingGraphs(wantedBytes, gotBytes) {
  const [wanted, got] = [wantedBytes, gotBytes].map((bytes) => new Described(bytes));
  const expected = wanted.nodes.filter(({ isNeeded }) => isNeeded);
  const missing = without(expected, got.nodes);
  const added = without(got.nodes, wanted.nodes);
  const problems = [
    ...interfaceProblems('input', wanted.inputs, got.inputs),
    ...interfaceProblems('output', wanted.outputs, got.outputs),
    ...interfaceProblems('domain', wanted.domains, got.domains),
    ...(missing.length > 0 ? [`of the other version alone: ${list(missing, got)}`] : []),
  ];
  const dropped = wanted.nodes.filter((node) => !node.isNeeded);
  const gone = without(dropped, got.nodes);
  const notes = [
    `${expected.length - missing.length} of ${expected.length} nodes that the gradients need are here, ` +
      `${inSameOrder(expected, got.nodes) ? 'in the same order' : 'in another order'}`,
    ...(gone.length > 0 ? [`only for ${norm}, and not here: ${gone.length} nodes: ${someNames(gone)}`] : []),
    ...(added.length > 0 ? [`of this version alone: ${list(added, wanted)}`] : []),
    ...onlyHere('input', wanted.inputs, got.inputs),
    ...onlyHere('output', wanted.outputs, got.outputs),
    ...(got.outputs.has(norm) || !wanted.outputs.has(norm)
      ? []
      : [`output ${norm}: only the other version has it`]),
  ];
  return { problems, notes };
}

/** A graph whose values are known by what computes them: equal ones have equal digests. */
class Described {
  /** In the file's order: digest, name, digests of inputs, whether an output other than the norm needs it. */
  nodes = [];
  inputs = new Map();
  outputs = new Map();
  domains = new Map();

  constructor(bytes) {
    const { graph, opsetImport } = onnx.ModelProto.decode(bytes);
    const digests = new Map([['', '']]);
    for (const { domain, version } of opsetImport) this.domains.set(domain || 'ONNX', String(version));
    for (const { name, type } of graph.input) {
      const digest = digestOf('input', name, onnx.TypeProto.encode(type).finish());
      digests.set(name, digest);
      this.inputs.set(name, digest);
    }
    for (const { name, ...tensor } of graph.initializer) {
      digests.set(name, digestOf('constant', onnx.TensorProto.encode({ ...tensor, name: '' }).finish()));
    }
    const makers = new Map();
    for (const { name, domain, opType, input, output, attribute } of graph.node) {
      const inputs = input.map((value) => digests.get(value));
      const attributes = attribute.map((entry) => onnx.AttributeProto.encode(entry).finish());
      // an optional output that nothing reads has no name
      const outputs = output.map((value) => (value === '' ? '-' : '+')).join('');
      const digest = digestOf('node', domain, opType, outputs, ...attributes, '', ...inputs);
      const node = { name, digest, inputs, reads: input, isNeeded: false };
      this.nodes.push(node);
      for (const [i, value] of output.entries()) {
        if (value === '') continue;
        digests.set(value, `${digest}:${i}`);
        makers.set(value, node);
      }
    }
    for (const { name, type } of graph.output) {
      this.outputs.set(name, digestOf(digests.get(name), onnx.TypeProto.encode(type).finish()));
    }
    const pending = [...this.outputs.keys()].filter((name) => name !== norm);
    while (pending.length > 0) {
      const node = makers.get(pending.pop());
      if (node === undefined || node.isNeeded) continue;
      node.isNeeded = true;
      pending.push(...node.reads);
    }
  }
}

function digestOf(...parts) {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(`${part.length}:`).update(part);
  return hash.digest('hex');
}

/** The nodes that are not among others, each of which stands for one. */
function without(nodes, others) {
  const counts = new Map();
  for (const { digest } of others) counts.set(digest, (counts.get(digest) ?? 0) + 1);
  return nodes.filter(({ digest }) => {
    const count = counts.get(digest) ?? 0;
    counts.set(digest, count - 1);
    return count <= 0;
  });
}

function inSameOrder(expected, nodes) {
  const wanted = new Set(expected.map(({ digest }) => digest));
  const common = nodes.filter(({ digest }) => wanted.has(digest));
  const here = new Set(common.map(({ digest }) => digest));
  const before = expected.filter(({ digest }) => here.has(digest));
  return before.length === common.length && before.every(({ digest }, i) => digest === common[i].digest);
}

/** Names, those first where a difference begins: all that such a node reads is on the other side too. */
function list(nodes, { nodes: others }) {
  const known = new Set(others.map(({ digest }) => digest));
  const begins = ({ inputs }) =>
    inputs.every((digest) => !digest.includes(':') || known.has(digest.split(':')[0]));
  const first = nodes.filter(begins);
  const rest = nodes.filter((node) => !begins(node));
  return `${nodes.length} nodes, differing from ${first.length} of them on: ${someNames([...first, ...rest])}`;
}

function someNames(named) {
  const more = named.length > shown ? ` and ${named.length - shown} more` : '';
  return `${named
    .slice(0, shown)
    .map(({ name }) => name)
    .join(', ')}${more}`;
}

/** Inputs, outputs or domains of the other version that are not here, or are here as something else. */
function interfaceProblems(kind, wanted, got) {
  const differing = [...wanted]
    .filter(([name, digest]) => name !== norm && got.get(name) !== digest)
    .map(([name]) => ({ name, isHere: got.has(name) }));
  const lost = differing.filter(({ isHere }) => !isHere);
  const changed = differing.filter(({ isHere }) => isHere);
  return [
    ...(lost.length > 0 ? [`${kind}s of the other version alone: ${someNames(lost)}`] : []),
    ...(changed.length > 0 ? [`${kind}s that are not the same: ${someNames(changed)}`] : []),
  ];
}

function onlyHere(kind, wanted, got) {
  const added = [...got.keys()].filter((name) => !wanted.has(name)).map((name) => ({ name }));
  return added.length > 0 ? [`${kind}s of this version alone: ${someNames(added)}`] : [];
}
