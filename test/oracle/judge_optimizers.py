"""timm and torch on given gradients: layer-wise learning rates from timm's own parameter groups, its average, its LARS."""

import math
import sys
from pathlib import Path

import numpy as np
import onnx
import timm
import torch
from safetensors.numpy import load_file, save_file
from shared import ours, relative, worst
from table import Table
from timm.optim import Lars, param_groups_layer_decay
from timm.utils import ModelEmaV3

STEPS = 20
LR = [min(1, (step + 1) / 5) * 0.5 * (1 + math.cos(math.pi * step / STEPS)) for step in range(STEPS)]
PARAMETERS = {"parameters, 20 steps": 1e-4, "movement": 1e-3}
AVERAGE = {"moving average, 20 steps": 1e-4}
MODELS = {"onnx.checker errors": 0}
ADAMW, LARS = "AdamW, layer decay 0.65 of param_groups_layer_decay", "LARS of timm.optim"


def vision_transformer():
    return timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=48, depth=3, num_heads=3, num_classes=10, global_pool="avg",
    ).double()


def draw(model, rng):
    """Parameters of size 1 beside some near 0, and gradients of many sizes, a float32 each."""
    weights, gradients = {}, {}
    for name, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        weights[name] = (rng.choice([0.02, 1]) * rng.standard_normal(shape)).astype(np.float32)
        sizes = 10.0 ** rng.uniform(-4, 1, (STEPS, *(1 for _ in shape)))
        gradients[name] = (sizes * rng.standard_normal((STEPS, *shape))).astype(np.float32)
    return weights, gradients


def train(model, optimizer, peak, weights, gradients, average=None):
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(torch.from_numpy(weights[name]))
    ema = None if average is None else ModelEmaV3(model, decay=average)
    for step, share in enumerate(LR):
        for group in optimizer.param_groups:
            group["lr"] = peak * share * group.get("lr_scale", 1)
        for name, parameter in parameters.items():
            parameter.grad = torch.from_numpy(gradients[name][step]).double()
        optimizer.step()
        if ema is not None:
            ema.update(model)
    return {} if ema is None else dict(ema.module.named_parameters())


def judge(table, label, folder, model, scales, job, averages, weights, gradients):
    """`scales`: what our side multiplies the learning rate of a parameter by."""
    save_file(weights, folder / "weights.safetensors")
    save_file(gradients, folder / "gradients.safetensors")
    parameters = [
        {
            "name": name, "shape": list(parameter.shape), "lrScale": scales[name],
            "group": "decayed" if parameter.ndim > 1 else "notDecayed",
        }
        for name, parameter in model.named_parameters()
    ]
    output, models = folder / "output.safetensors", folder / label.split(",")[0].replace(" ", "-")
    ours("optimizers.mjs", folder, job | {
        "parameters": parameters, "weights": str(folder / "weights.safetensors"),
        "gradients": str(folder / "gradients.safetensors"), "output": str(output), "models": str(models),
    })
    got = load_file(output)
    wanted = {name: parameter.detach().numpy() for name, parameter in model.named_parameters()}
    name, error = worst({name: relative(got[name], wanted[name]) for name in wanted})
    table.report(label, "parameters, 20 steps", error, name)
    name, error = worst({name: relative(got[name] - weights[name], wanted[name] - weights[name]) for name in wanted})
    table.report(label, "movement", error, name)
    if averages:
        name, error = worst({name: relative(got[f"ema.{name}"], value.detach().numpy()) for name, value in averages.items()})
        table.report(label, "moving average, 20 steps", error, name)
    return models


def check_models(table, label, folder):
    """Without kernels: operators outside ONNX's own domain are errors."""
    errors = []
    for path in sorted(folder.glob("*.onnx")):
        model = onnx.load(path)
        try:
            onnx.checker.check_model(model, full_check=True)
        except Exception as error:
            errors.append(f"{path.name}: {error}")
        errors += [f"{path.name}: {node.op_type}" for node in model.graph.node if node.domain]
    table.report(label, "onnx.checker errors", len(errors), "; ".join(errors)[:200])


def main(rows, folder):
    torch.set_num_threads(1)
    torch.manual_seed(7)
    table = Table("optimizers", rows)
    kernels = {False: "", True: ", kernels"}
    for suffix in kernels.values():
        table.plan(ADAMW + suffix, PARAMETERS | AVERAGE)
        table.plan(LARS + suffix, PARAMETERS)
    table.plan(ADAMW, MODELS)
    table.plan(LARS, MODELS)
    rng = np.random.default_rng(6000)
    for wants_kernels, suffix in kernels.items():
        with table.measuring(ADAMW + suffix):
            model = vision_transformer()
            groups = param_groups_layer_decay(model, weight_decay=0.05, layer_decay=0.65)
            names = {id(parameter): name for name, parameter in model.named_parameters()}
            scales = {names[id(parameter)]: group["lr_scale"] for group in groups for parameter in group["params"]}
            weights, gradients = draw(model, rng)
            optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.999))
            averages = train(model, optimizer, 1e-2, weights, gradients, average=0.9)
            models = judge(table, ADAMW + suffix, folder, model, scales, {
                "optimizer": {"kind": "adamw", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}, "emaDecay": 0.9,
                "lr": [1e-2 * share for share in LR], "weightDecay": 0.05, "kernels": wants_kernels,
            }, averages, weights, gradients)
            if not wants_kernels:
                check_models(table, ADAMW, models)
        with table.measuring(LARS + suffix):
            model = vision_transformer()
            weights, gradients = draw(model, rng)
            matrices, vectors = ([p for p in model.parameters() if (p.ndim > 1) == wanted] for wanted in (True, False))
            groups = [{"params": matrices, "always_adapt": True}, {"params": vectors, "always_adapt": False}]
            # its trust ratio has decay and an epsilon in the denominator: without them it is the paper's
            optimizer = Lars(groups, lr=1, momentum=0.9, weight_decay=0, trust_coeff=0.001, eps=0)
            train(model, optimizer, 6.4, weights, gradients)
            models = judge(table, LARS + suffix, folder, model, dict.fromkeys(weights, 1), {
                "optimizer": {"kind": "lars", "momentum": 0.9, "trustCoefficient": 0.001},
                "lr": [6.4 * share for share in LR], "weightDecay": 0, "kernels": wants_kernels,
            }, {}, weights, gradients)
            if not wants_kernels:
                check_models(table, LARS, models)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
