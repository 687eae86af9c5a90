"""onnx.checker with full shape inference on the graphs of every preset, and on an exported encoder."""

import sys
from pathlib import Path

import numpy as np
import onnx
from judge_transformers import sincos_table
from shared import NANO, ROOT, mae, random_weights, save_checkpoint
from table import Table

GRAPHS = ("training_model.onnx", "eval_model.onnx", "gradient_norm_model.onnx", "optimizer_model.onnx")


def problems(path):
    """What is wrong with a file: the checker's complaint, or operators that are not ONNX's own."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except Exception as error:
        return [f"{path.name}: {error}"]
    foreign = {node.domain for node in onnx.load(path).graph.node} - {""}
    return [f"{path.name}: operators of the domain {domain}" for domain in foreign]


def main(rows, folder):
    table = Table("onnx.checker", rows)
    presets = sorted(path.stem for path in (ROOT / "models").glob("*.json"))
    for name in presets:
        table.plan(name, {f"{len(GRAPHS)} graphs": 0, "accumulating": 0})
    table.plan("mae_vit_nano_patch8_64", {"encoder": 0})
    for name in presets:
        with table.measuring(name):
            for what, flags in ((f"{len(GRAPHS)} graphs", ()), ("accumulating", ("--accum-iter", "2"))):
                mae("build-artifacts", "--model", name, "--batch-size", "2", *flags, "-o", folder / "artifacts")
                found = [problem for graph in GRAPHS for problem in problems(folder / "artifacts" / graph)]
                print("\n".join(found), end="\n" if found else "", flush=True)
                table.report(name, what, len(found), "; ".join(found)[:200])
    with table.measuring("mae_vit_nano_patch8_64"):
        weights = random_weights(np.random.default_rng(4000), NANO, sincos_table)
        save_checkpoint(folder / "model.safetensors", NANO, weights)
        found = []
        for pool in ("cls", "mean", "none"):
            encoder = folder / f"encoder-{pool}.onnx"
            mae("export-encoder", "--checkpoint", folder / "model.safetensors", "--pool", pool, "-o", encoder)
            found += problems(encoder)
        table.report("mae_vit_nano_patch8_64", "encoder", len(found), "; ".join(found)[:200])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
