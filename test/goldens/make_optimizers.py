"""Make optimizers.{json,safetensors} beside this script: what fine-tuning and linear probing add to AdamW.

    python make_optimizers.py

Answers of torch (AdamW with a learning rate for each layer, BatchNorm1d), of timm (ModelEmaV3) and, for LARS, of the
formula of You, Gitman & Ginsburg, "Large Batch Training of Convolutional Networks" (2017) in numpy, with the settings
that MAE publishes for its linear probe: momentum 0.9, trust coefficient 0.001, tensors of one axis without trust ratio
and decay. All in float64, rounded to float32 once. Gradients are given, so that nothing else is judged.
"""

import numpy as np
import torch
from make_goldens import f32, write_json, write_tensors
from timm.utils import ModelEmaV3

SEED = 401
STEPS = 20
# in the order of a model: not that of their learning rates
PARAMETERS = [
    {"name": "head.weight", "shape": [4, 6], "group": "decayed", "lrScale": 1},
    {"name": "head.bias", "shape": [4], "group": "notDecayed", "lrScale": 1},
    {"name": "pos_embed", "shape": [2, 3], "group": "fixed", "lrScale": 1},
    {"name": "embed.weight", "shape": [6, 5], "group": "decayed", "lrScale": 0.25},
    {"name": "embed.bias", "shape": [17], "group": "notDecayed", "lrScale": 0.25},
    {"name": "block.weight", "shape": [3, 4, 5], "group": "decayed", "lrScale": 0.5},
    {"name": "block.bias", "shape": [9], "group": "notDecayed", "lrScale": 0.5},
    {"name": "other.weight", "shape": [16, 3], "group": "decayed", "lrScale": 0.25},
    {"name": "zero.weight", "shape": [5, 2], "group": "decayed", "lrScale": 1},  # starts at zero, as its norm
]
ADAMW = {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weightDecay": 0.05}
ADAMW_LR = [2e-2 * (step + 1) / 5 if step < 5 else 1e-2 for step in range(STEPS)]
LARS = {"momentum": 0.9, "trustCoefficient": 0.001, "weightDecay": 0.02}
LARS_LR = [2.0 * (step + 1) / 5 if step < 5 else 6.4 for step in range(STEPS)]
EMA_DECAY = 0.9
BATCH_NORM = {"steps": STEPS, "microBatches": 2, "batch": 8, "width": 6, "epsilon": 1e-6, "momentum": 0.1, "lr": 1e-2}


def draw():
    rng = np.random.default_rng(SEED)
    initial = {p["name"]: rng.standard_normal(p["shape"]).astype(np.float32) for p in PARAMETERS}
    initial["zero.weight"][:] = 0
    grads = {
        p["name"]: (rng.standard_normal([STEPS, *p["shape"]]) * 0.1).astype(np.float32)
        for p in PARAMETERS if p["group"] != "fixed"
    }
    grads["zero.weight"][0] = 0  # both norms of LARS are zero in the first step, and one of them in the second
    return rng, initial, grads


def adamw_and_ema(initial, grads):
    """torch.optim.AdamW with a group for each parameter; timm's average of them after each step."""
    module = torch.nn.Module()
    for name in grads:
        parameter = torch.nn.Parameter(torch.from_numpy(initial[name].copy()).double())
        module.register_parameter(name.replace(".", "_"), parameter)
    parameters = {name: getattr(module, name.replace(".", "_")) for name in grads}
    groups = [
        {
            "params": [parameters[p["name"]]], "scale": p["lrScale"],
            "weight_decay": ADAMW["weightDecay"] if p["group"] == "decayed" else 0.0,
        }
        for p in PARAMETERS if p["name"] in grads
    ]
    optimizer = torch.optim.AdamW(groups, betas=(ADAMW["beta1"], ADAMW["beta2"]), eps=ADAMW["epsilon"], foreach=False)
    average = ModelEmaV3(module, decay=EMA_DECAY)
    history = {}
    for step, lr in enumerate(ADAMW_LR):
        for group in optimizer.param_groups:
            group["lr"] = lr * group["scale"]
        for name, parameter in parameters.items():
            parameter.grad = torch.from_numpy(grads[name][step]).double()
        optimizer.step()
        average.update(module)
        for name, parameter in parameters.items():
            history.setdefault(f"adamw.{name}", []).append(f32(parameter))
            history.setdefault(f"ema.{name}", []).append(f32(getattr(average.module, name.replace(".", "_"))))
    return history


def lars(initial, grads):
    history = {}
    for p in PARAMETERS:
        name = p["name"]
        if name not in grads:
            continue
        w = initial[name].astype(np.float64)
        m = np.zeros_like(w)
        for lr, g in zip(LARS_LR, grads[name].astype(np.float64)):
            if w.ndim > 1:
                g = g + LARS["weightDecay"] * w
                norms = np.linalg.norm(w), np.linalg.norm(g)
                g = g * (LARS["trustCoefficient"] * norms[0] / norms[1] if min(norms) > 0 else 1)
            m = LARS["momentum"] * m + g
            w = w - lr * p["lrScale"] * m
            history.setdefault(f"lars.{name}", []).append(w.astype(np.float32))
            history.setdefault(f"momentum.{name}", []).append(m.astype(np.float32))
    return history


def batch_norm(rng):
    """y = BatchNorm1d(x·wᵀ), the loss Σ y∘dy of each of two micro-batches, w moved by AdamW; then y of evaluation."""
    b = BATCH_NORM
    shape = (b["steps"], b["microBatches"], b["batch"], b["width"])
    x = (3 * rng.standard_normal(shape) + 5).astype(np.float32)
    dy = rng.standard_normal(shape).astype(np.float32)
    w0 = rng.standard_normal((b["width"], b["width"])).astype(np.float32)
    w = torch.nn.Parameter(torch.from_numpy(w0.copy()).double())
    layer = torch.nn.BatchNorm1d(b["width"], affine=False, eps=b["epsilon"], momentum=b["momentum"]).double()
    optimizer = torch.optim.AdamW([w], lr=b["lr"], betas=(0.9, 0.999), weight_decay=0.0)
    history = {"loss": [], "running_mean": [], "running_var": [], "w": []}
    for step in range(b["steps"]):
        optimizer.zero_grad()
        for micro in range(b["microBatches"]):
            y = layer(torch.from_numpy(x[step, micro]).double() @ w.T)
            loss = (y * torch.from_numpy(dy[step, micro])).sum()
            (loss / b["microBatches"]).backward()
            history["loss"].append(f32(loss))
        optimizer.step()
        for name, value in (("running_mean", layer.running_mean), ("running_var", layer.running_var), ("w", w)):
            history[name].append(f32(value))
    layer.eval()
    evaluated = f32(layer(torch.from_numpy(x[0, 0]).double() @ w.T))
    stacked = {f"batch_norm.{name}": np.stack(values) for name, values in history.items()}
    return stacked | {
        "batch_norm.x": x, "batch_norm.dy": dy, "batch_norm.initial": w0, "batch_norm.evaluated": evaluated,
    }


def main():
    torch.set_num_threads(1)
    rng, initial, grads = draw()
    history = {name: np.stack(steps) for name, steps in (adamw_and_ema(initial, grads) | lars(initial, grads)).items()}
    given = {f"initial.{name}": t for name, t in initial.items()} | {f"grads.{name}": t for name, t in grads.items()}
    write_tensors("optimizers.safetensors", given | history | batch_norm(rng))
    write_json("optimizers.json", {
        "seed": SEED, "steps": STEPS, "parameters": PARAMETERS,
        "adamw": ADAMW | {"lr": ADAMW_LR}, "lars": LARS | {"lr": LARS_LR}, "emaDecay": EMA_DECAY,
        "batchNorm": BATCH_NORM,
    })


if __name__ == "__main__":
    main()
