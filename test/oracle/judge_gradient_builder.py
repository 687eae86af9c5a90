"""ONNX Runtime's gradient builder (its last training package): our forward graph differentiated and run by it."""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from judge_transformers import sincos_table
from onnxruntime.training import api, artifacts
from safetensors.numpy import load_file, save_file
from shared import (
    BASE, NANO, PATCH14, TINY, grid, keys, ours, random_images, random_shuffle, random_weights, relative, without_keys,
    worst,
)
from table import Table

# label: model, mask ratio, norm_pix_loss, batch size
CONFIGURATIONS = {
    "nano, mask 0.75, norm-pix, batch 8": (NANO, 0.75, True, 8),
    "tiny, mask 0.9, plain, batch 2": (TINY, 0.9, False, 2),
    "patch 14, mask 0.5, norm-pix, batch 2": (PATCH14, 0.5, True, 2),
    "base, mask 0.75, norm-pix, batch 1": (BASE, 0.75, True, 1),
}
ROWS = {"loss": 1e-6, "gradients": 1e-5, "gradient of key biases": 1e-6}


def theirs(folder, trained, fixed, images, ids_shuffle):
    """Loss and gradients by generate_artifacts and its training session; the graph goes in as it is."""
    artifacts.generate_artifacts(
        onnx.load(folder / "loss.onnx"), requires_grad=trained, frozen_params=fixed, artifact_directory=folder,
    )
    state = api.CheckpointState.load_checkpoint(str(folder / "checkpoint"))
    module = api.Module(str(folder / "training_model.onnx"), state, str(folder / "eval_model.onnx"))
    module.train()
    loss = module(images, ids_shuffle)
    return loss, {name: np.array(state.parameters[name].grad) for name in trained}


def main(rows, folder):
    onnxruntime.set_default_logger_severity(3)
    table = Table("gradient builder", rows)
    for label in CONFIGURATIONS:
        table.plan(label, ROWS)
    for index, (label, (model, mask_ratio, norm_pix_loss, batch)) in enumerate(CONFIGURATIONS.items()):
        with table.measuring(label):
            rng = np.random.default_rng(2000 + index)
            weights = random_weights(rng, model, sincos_table)
            batches = {
                "images": random_images(rng, batch, model["inputSize"])[None],
                "ids_shuffle": random_shuffle(rng, batch, grid(model) ** 2)[None],
            }
            save_file(weights, folder / "weights.safetensors")
            save_file(batches, folder / "batches.safetensors")
            ours("steps.mjs", folder, {
                "model": model, "batchSize": batch, "accumIter": 1, "maskRatio": mask_ratio,
                "normPixLoss": norm_pix_loss, "weights": str(folder / "weights.safetensors"),
                "batches": str(folder / "batches.safetensors"), "output": str(folder / "ours.safetensors"),
                "steps": 0, "lossGraph": str(folder / "loss.onnx"),
            })
            got = load_file(folder / "ours.safetensors")
            fixed = [name for name in weights if name.endswith("pos_embed")]
            trained = [name for name in weights if name not in fixed]
            loss, wanted = theirs(folder, trained, fixed, batches["images"][0], batches["ids_shuffle"][0])
            table.report(label, "loss", relative(got["loss"], loss))
            name, error = worst({
                name: relative(without_keys(name, got[f"{name}_grad"]), without_keys(name, wanted[name]))
                for name in trained
            })
            table.report(label, "gradients", error, name)
            name, error = worst({
                name: np.linalg.norm(keys(got[f"{name}_grad"]) - keys(wanted[name])) / np.linalg.norm(wanted[name])
                for name in trained
                if name.endswith("qkv.bias")
            })
            table.report(label, "gradient of key biases", error, name)
            print(f"{label}: done", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
