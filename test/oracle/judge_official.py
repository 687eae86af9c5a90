"""onnxruntime.training.api loads what `mae build-artifacts --runtime onnxruntime-training` writes, and trains it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from onnxruntime.training.api import CheckpointState, Module, Optimizer
from safetensors.numpy import load_file, save_file
from shared import ROOT, grid, ours, preset, random_images, random_shuffle, relative, without_keys, worst
from table import Table

JUDGE = "onnxruntime-training"
STEPS = 10
BOUND = 1e-5
# a head of its own size for encoder and decoder, another patch, few blocks
SMALL = {
    "inputSize": 32, "patchSize": 8, "embedDim": 48, "depth": 2, "numHeads": 3,
    "decoderEmbedDim": 32, "decoderDepth": 1, "decoderNumHeads": 2, "mlpRatio": 4,
}

# name: model, mask ratio, norm_pix_loss, batch size, micro-batches in a step
CONFIGURATIONS = {
    "nano": (preset("mae_vit_nano_patch8_64"), 0.75, True, 8, 1),
    "small, accumulating": (SMALL, 0.5, False, 4, 3),
}

# what is measured: the largest relative error that passes
ROWS = {
    "fresh parameters": 0.0,
    "fresh parameters, data in a file beside": 0.0,
    f"losses, {STEPS} steps": BOUND,
    f"parameters, {STEPS} steps": BOUND,
    f"all parameters as one, {STEPS} steps": BOUND,
    "predictions after training": BOUND,
}


def parameters_of(state):
    return {name: np.array(parameter.data) for name, parameter in state.parameters}


def largest_error(got, wanted):
    """Over parameters, of the one that differs most; a fused qkv bias without its keys.

    Softmax does not see biases of keys: their gradient is rounding, and AdamW makes steps of it.
    """
    if got.keys() != wanted.keys():
        raise ValueError(f"parameters: {sorted(got.keys() ^ wanted.keys())} are only in one of both")
    return worst({
        name: relative(without_keys(name, got[name]), without_keys(name, wanted[name]))
        if np.any(without_keys(name, wanted[name]))
        else float(np.abs(got[name]).max())
        for name in wanted
    })


def measure(name, folder):
    """Errors by what is measured."""
    model, mask_ratio, norm_pix_loss, batch, accumulate = CONFIGURATIONS[name]
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    count, size = accumulate * batch, model["inputSize"]
    images = np.stack([random_images(rng, count, size) for _ in range(STEPS)])
    ids_shuffle = np.stack([random_shuffle(rng, count, grid(model) ** 2) for _ in range(STEPS)])
    save_file({"images": images, "ids_shuffle": ids_shuffle}, folder / "batches.safetensors")
    (folder / "model.json").write_text(json.dumps(model))
    seed = 5
    job = {
        "model": model, "batchSize": batch, "accumIter": accumulate, "maskRatio": mask_ratio,
        "normPixLoss": norm_pix_loss, "seed": seed, "steps": STEPS,
        "schedule": {"lr": 1e-3, "minLr": 0, "warmupEpochs": 2, "epochs": 5, "stepsPerEpoch": STEPS // 5},
        "batches": str(folder / "batches.safetensors"), "output": str(folder / "ours.safetensors"),
        "external": str(folder / "external"),
    }
    ours("official.mjs", folder, job)
    expected = load_file(folder / "ours.safetensors")
    subprocess.run(
        [
            "node", str(ROOT / "bin" / "mae.js"), "build-artifacts", "--runtime", "onnxruntime-training",
            "--model", str(folder / "model.json"), "--batch-size", str(batch), "--accum-iter", str(accumulate),
            "--mask-ratio", str(mask_ratio), "--norm-pix-loss" if norm_pix_loss else "--no-norm-pix-loss",
            "--seed", str(seed), "-o", str(folder / "official"),
        ],
        check=True, stdout=subprocess.DEVNULL,
    )

    official = folder / "official"
    state = CheckpointState.load_checkpoint(official / "checkpoint")
    names = list(parameters_of(state))
    fresh = {name: expected[f"initial.{name}"] for name in names}
    errors = {"fresh parameters": largest_error(parameters_of(state), fresh)}
    beside = CheckpointState.load_checkpoint(folder / "external" / "checkpoint")
    errors["fresh parameters, data in a file beside"] = largest_error(parameters_of(beside), fresh)

    module = Module(official / "training_model.onnx", state, official / "eval_model.onnx")
    optimizer = Optimizer(official / "optimizer_model.onnx", module)
    module.train()
    losses = np.empty((STEPS, accumulate))
    for step in range(STEPS):
        for i in range(accumulate):
            part = slice(i * batch, (i + 1) * batch)
            losses[step, i] = module(images[step, part], ids_shuffle[step, part])
        optimizer.set_learning_rate(expected["learning_rates"][step])
        optimizer.step()
        module.lazy_reset_grad()
    errors[f"losses, {STEPS} steps"] = ("", float(np.abs(losses / expected["losses"] - 1).max()))
    trained = parameters_of(state)
    errors[f"parameters, {STEPS} steps"] = largest_error(trained, {name: expected[name] for name in names})
    errors[f"all parameters as one, {STEPS} steps"] = ("", relative(*(
        np.concatenate([parameters[name].ravel() for name in names]) for parameters in (trained, expected)
    )))
    module.eval()
    outputs = dict(zip(module.output_names(), module(images[0, :batch], ids_shuffle[0, :batch]), strict=True))
    errors["predictions after training"] = worst({
        name: relative(outputs[name], expected[name]) for name in ("loss", "image_loss", "pred")
    })
    return errors


def main(rows, folder):
    table = Table(JUDGE, rows)
    for name in CONFIGURATIONS:
        table.plan(name, ROWS)
    for name in CONFIGURATIONS:
        with table.measuring(name):
            errors = measure(name, folder / name.replace(", ", "-"))
            for what in ROWS:
                note, error = errors[what]
                table.report(name, what, error, note)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
