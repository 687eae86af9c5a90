"""Make classifier.{json,safetensors} beside this script from timm's and torch's code: README.md says what they hold.

    python make_classifier.py

The random numbers of training are drawn here and handed over: boxes, shares, factors of the residuals.
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save
from timm.data.mixup import mixup_target
from timm.loss import SoftTargetCrossEntropy
from timm.models.vision_transformer import VisionTransformer

HERE = Path(__file__).resolve().parent
MEAN = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64).view(1, 3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64).view(1, 3, 1, 1)
SIZE = {"image": 16, "patch": 8, "width": 16, "depth": 2, "heads": 2, "mlpRatio": 2, "classes": 7, "batch": 4}
SMOOTHING = 0.1
B, S, C = SIZE["batch"], SIZE["image"], SIZE["classes"]


def tensor(random, shape, deviation=1.0):
    return torch.from_numpy(random.normal(0, deviation, shape).astype(np.float32)).double()


def model_of(random, pool):
    model = VisionTransformer(
        img_size=S, patch_size=SIZE["patch"], embed_dim=SIZE["width"], depth=SIZE["depth"], num_heads=SIZE["heads"],
        mlp_ratio=SIZE["mlpRatio"], num_classes=C, global_pool={"mean": "avg", "cls": "token"}[pool], qkv_bias=True,
        drop_path_rate=0.5,
    ).double().train()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if name.endswith(("norm.weight", "norm1.weight", "norm2.weight")) else 0.0
            parameter.copy_((centre + tensor(random, parameter.shape, 0.2)).float())
    return model


class Factor(torch.nn.Module):
    """Takes the place of timm's DropPath, with factors of our own for it: [B]."""

    def __init__(self, factors):
        super().__init__()
        self.factors = factors

    def forward(self, x):
        return x * self.factors.view(-1, 1, 1)


def finetune(name, pool, cuts, seed, tensors):
    random = np.random.default_rng(seed)
    model = model_of(random, pool)
    drop_path = torch.tensor(random.choice([0.0, 1.25], (B, 2 * SIZE["depth"])))
    for i, block in enumerate(model.blocks):
        assert type(block.drop_path1).__name__ == "DropPath" or i == 0
        block.drop_path1, block.drop_path2 = Factor(drop_path[:, 2 * i]), Factor(drop_path[:, 2 * i + 1])
    images = torch.from_numpy(random.integers(0, 256, (B, S, S, 3), dtype=np.uint8))
    images[1, 2:9, 4:11] = 0  # the erased box
    noise = tensor(random, (3, 7, 7))
    labels = torch.from_numpy(random.integers(0, C, B))
    normal = (images.permute(0, 3, 1, 2).double() / 255 - MEAN) / STD
    erasing = torch.zeros(B, 3, S, S, dtype=torch.float64)
    erasing[1, :, 2:9, 4:11] = noise - normal[1, :, 2:9, 4:11]
    erasing = erasing.float().double()
    x = normal + erasing
    mix = torch.zeros(B, 2 + 2 * S, dtype=torch.float64)
    if cuts:
        lam = 1 - 5 * 8 / S**2
        x = x.clone()
        x[:, :, 3:8, 6:14] = x.flip(0)[:, :, 3:8, 6:14].clone()
        mix[:, 1] = 1
        mix[:, 2 + 3 : 2 + 8] = 1
        mix[:, 2 + S + 6 : 2 + S + 14] = 1
    else:
        lam = 0.6875
        x = x * lam + x.flip(0) * (1 - lam)
        mix[:, 1:] = 1
        mix[:, 1] = 1 - lam
    mix[:, 0] = 1 - lam
    targets = mixup_target(labels, C, lam, SMOOTHING).double()
    loss = SoftTargetCrossEntropy()(model(x), targets)
    loss.backward()
    model.eval()
    for i, block in enumerate(model.blocks):
        block.drop_path1 = block.drop_path2 = torch.nn.Identity()
    logits = model(normal)
    given = {"images": images, "erasing": erasing.permute(0, 2, 3, 1), "mix": mix, "drop_path": drop_path}
    one_hot = torch.nn.functional.one_hot(labels, C).double()
    gradients = {f"{key}_grad": value.grad for key, value in model.named_parameters()}
    save_all(tensors, name, {**given, "targets": one_hot, "logits": logits, **dict(model.named_parameters()), **gradients})
    losses = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    return {"pool": pool, "loss": loss.item(), "imageLoss": losses.tolist(), "labels": labels.tolist()}


def linprobe(name, seed, tensors):
    random = np.random.default_rng(seed)
    model = model_of(random, "cls").eval()
    norm = torch.nn.BatchNorm1d(SIZE["width"], affine=False, eps=1e-6).double().train()
    running = {"head_norm.running_mean": tensor(random, SIZE["width"]), "head_norm.running_var": tensor(random, SIZE["width"]) ** 2}
    running = {key: value.float().double() for key, value in running.items()}
    norm.running_mean.copy_(running["head_norm.running_mean"])
    norm.running_var.copy_(running["head_norm.running_var"])
    images = torch.from_numpy(random.integers(0, 256, (B, S, S, 3), dtype=np.uint8))
    labels = torch.from_numpy(random.integers(0, C, B))
    features = model.forward_features((images.permute(0, 3, 1, 2).double() / 255 - MEAN) / STD)[:, 0].detach()
    evaluated = torch.nn.functional.batch_norm(features, norm.running_mean, norm.running_var, eps=1e-6)
    logits = model.head(evaluated)
    loss = torch.nn.functional.cross_entropy(model.head(norm(features)), labels)
    loss.backward()
    head = {f"head.{key}_grad": value.grad for key, value in model.head.named_parameters()}
    after = {"head_norm.running_mean_next": norm.running_mean, "head_norm.running_var_next": norm.running_var}
    one_hot = torch.nn.functional.one_hot(labels, C).double()
    given = {"images": images, "targets": one_hot, "logits": logits, **dict(model.named_parameters()), **running}
    save_all(tensors, name, {**given, **head, **after})
    return {"pool": "cls", "loss": loss.item(), "labels": labels.tolist()}


def save_all(tensors, name, values):
    for key, value in values.items():
        array = value.detach().numpy()
        tensors[f"{name}.{key}"] = np.array(array if array.dtype == np.uint8 else array.astype(np.float32), order="C")


def main():
    torch.set_num_threads(1)
    tensors = {}
    cases = {
        "mixup": finetune("mixup", "mean", False, 401, tensors),
        "cutmix": finetune("cutmix", "cls", True, 402, tensors),
        "linprobe": linprobe("linprobe", 403, tensors),
    }
    (HERE / "classifier.json").write_text(json.dumps({**SIZE, "smoothing": SMOOTHING, "cases": cases}, indent=1) + "\n")
    (HERE / "classifier.safetensors").write_bytes(save(tensors))


main()
