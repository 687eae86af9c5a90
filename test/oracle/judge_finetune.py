"""timm's VisionTransformer with torch's autograd, in float64: fine-tuning and the linear probe, and how they begin.

What our loader draws (boxes, noise, factors of residuals) and how batches are mixed is handed over; timm's own code mixes
pixels and targets. LARS and the schedules are formulas here.
"""

import json
import math
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from judge_initialization import statistics
from PIL import Image
from safetensors.numpy import load_file, save_file
from shared import NANO, keys, ours, pixel_values, random_images, relative, without_keys, worst
from table import Table
from timm.data import mixup
from timm.layers import trunc_normal_
from timm.loss import SoftTargetCrossEntropy
from timm.models import VisionTransformer
from timm.optim import param_groups_layer_decay

STEPS, STEPS_AN_EPOCH = 20, 2  # so that the schedule runs over fractions of epochs
CLASSES, SMOOTHING, LAYER_DECAY, WEIGHT_DECAY = 7, 0.1, 0.65, 0.05
ERASING, DROP_PATH, TRUST, MOMENTUM = 0.6, 0.4, 0.001, 0.9
TUNED = {"lr": 1e-3, "minLr": 1e-6, "warmupEpochs": 2.5, "epochs": 10, "stepsPerEpoch": STEPS_AN_EPOCH}
PROBED = TUNED | {"lr": 6.4, "minLr": 0}
MODEL = {
    "inputSize": 32, "patchSize": 8, "embedDim": 48, "depth": 3, "numHeads": 3, "mlpRatio": 4,
    "decoderEmbedDim": 32, "decoderDepth": 1, "decoderNumHeads": 2,
}
WIDE = MODEL | {"inputSize": [24, 40]}

# name: model, pool, kind, images in a micro-batch, micro-batches in a step
CONFIGURATIONS = {
    "fine-tuning, mean": (MODEL, "mean", "finetune", 8, 1),
    "fine-tuning, class token": (MODEL, "cls", "finetune", 8, 1),
    "fine-tuning, mean, batch 4×4, 24×40 pixels": (WIDE, "mean", "finetune", 4, 4),
    "fine-tuning, plain": (MODEL, "mean", "plain", 6, 1),
    "linear probe": (MODEL, "cls", "linprobe", 16, 1),
    "linear probe, mean, batch 8×2": (MODEL, "mean", "linprobe", 8, 2),
}
ALL = {"loss": 1e-5, "loss, each step": 1e-4, "gradients": 1e-4, "gradient norm": 1e-5, "learning rates": 1e-9}
TOKEN = {"logits": 1e-5, f"logits, {STEPS} steps": 1e-4, f"parameters, {STEPS} steps": 1e-4, f"movement, {STEPS} steps": 1e-3}
ENCODER = {"gradient of key biases": 1e-6, f"key biases, {STEPS} steps": 1.0}
PROBE = {"running statistics": 1e-5, "tensors of the encoder that changed": 0}
BEGINNING = {
    "layers of param_groups_layer_decay, mean": {"parameters that differ": 0, "scales": 1e-12, "decay that differs": 0},
    "layers of param_groups_layer_decay, class token": {"parameters that differ": 0, "scales": 1e-12, "decay that differs": 0},
    "head, trunc_normal_(2e-5)": {"mean": 1, "deviation": 1, "distribution": 1},
    "head, trunc_normal_(0.01)": {"mean": 1, "deviation": 1, "distribution": 1},
    "positions, bicubic interpolate": {"largest error": 1e-5, "class token": 0},
}
# blr, epochs, warm-up, layer decay, drop path: FINETUNE.md of the published code
PUBLISHED = {"base": (5e-4, 100, 5, 0.65, 0.1), "large": (1e-3, 50, 5, 0.75, 0.2), "huge": (1e-3, 50, 5, 0.75, 0.3)}
RECIPES = {"drop path": 1e-6, "learning rates": 1e-9, "scales of layers": 1e-12, "betas, epsilon, decay": 0}
GRIDS = {"8×8 to 16×16": ((8, 8), (16, 16)), "14×14 to 24×24": ((14, 14), (24, 24)), "12×12 to 5×9": ((12, 12), (5, 9))}


class Factor(torch.nn.Module):
    """Takes the place of timm's DropPath, by factors that are given: [B]."""

    def forward(self, x):
        return x * self.factors.view(-1, 1, 1)


def vision_transformer(model, pool, classes=CLASSES, drop_path=DROP_PATH):
    return VisionTransformer(
        img_size=model["inputSize"], patch_size=model["patchSize"], embed_dim=model["embedDim"], depth=model["depth"],
        num_heads=model["numHeads"], mlp_ratio=model["mlpRatio"], num_classes=classes, drop_path_rate=drop_path,
        global_pool={"mean": "avg", "cls": "token"}[pool],
    ).double()


def draw_weights(rng, module):
    """Nothing at a special value, a float32 each."""
    weights = {}
    for name, parameter in module.named_parameters():
        shape = tuple(parameter.shape)
        if "norm" in name and name.endswith("weight"):
            values = 1 + 0.2 * rng.standard_normal(shape)
        elif parameter.ndim == 1:
            values = 0.1 * rng.standard_normal(shape)
        elif name in ("cls_token", "pos_embed"):
            values = 0.2 * rng.standard_normal(shape)
        else:
            values = rng.standard_normal(shape) / math.sqrt(np.prod(shape[1:]))
        weights[name] = values.astype(np.float32)
    return weights


def load(module, weights):
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.from_numpy(weights[name]))


def published_rate(step, schedule):
    """Of `util/lr_sched.py`: the epoch counts in fractions, step by step."""
    epoch = step / schedule["stepsPerEpoch"]
    lr, low, warmup, epochs = (schedule[key] for key in ("lr", "minLr", "warmupEpochs", "epochs"))
    if epoch < warmup:
        return lr * epoch / warmup
    return low + (lr - low) * 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))


def published_scales(module, layer_decay):
    """timm's, but of `norm`: the published code counts it to the head, timm to the last block."""
    groups = param_groups_layer_decay(
        module, weight_decay=WEIGHT_DECAY, layer_decay=layer_decay, no_weight_decay_list=module.no_weight_decay(),
    )
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    taken = {
        names[id(parameter)]: (group["lr_scale"], group["weight_decay"]) for group in groups for parameter in group["params"]
    }
    return {name: (1.0, decay) if name.startswith("norm.") else (scale, decay) for name, (scale, decay) in taken.items()}


def draw_mixes(rng, size, accumulate):
    """For each micro-batch: mixup, CutMix, or none."""
    mixes = []
    for step in range(STEPS):
        lams = rng.beta(0.8, 0.8, accumulate)
        centres = [{"y": int(rng.integers(size[0])), "x": int(rng.integers(size[1]))} for _ in range(accumulate)]
        kinds = [(step + i) % 5 for i in range(accumulate)]  # mixup first
        mixes.append([
            None if kind == 4 else {"lambda": float(lam)} | (centre if kind % 2 else {})
            for kind, lam, centre in zip(kinds, lams, centres)
        ])
    return mixes


def mix(pixels, labels, given, smoothing):
    """By timm's Mixup: mixed pixels and soft targets."""
    lam, is_cut = (1.0, False) if given is None else (given["lambda"], "y" in given)
    mixer = mixup.Mixup(1, 1, None, label_smoothing=smoothing, num_classes=CLASSES)
    pixels = pixels.clone()
    centre = [given["y"], given["x"]] if is_cut else []
    with (
        mock.patch.object(mixer, "_params_per_batch", lambda: (lam, is_cut)),
        mock.patch.object(np.random, "randint", side_effect=centre),
    ):
        return mixer(pixels, labels)


def erased(images, boxes, noise):
    """As timm's RandomErasing, after normalisation. uint8 [B, H, W, 3] → float64 [B, 3, H, W]."""
    pixels = torch.from_numpy(pixel_values(images))
    for image, (left, top, width, height), values in zip(pixels, boxes.astype(int), noise):
        box = slice(top, top + height), slice(left, left + width)
        image[:, *box] = torch.from_numpy(values[box]).permute(2, 0, 1)
    return pixels


def named(module):
    return {name: parameter.detach().numpy().copy() for name, parameter in module.named_parameters()}


def finetuned(configuration, weights, batches, mixes, drawn):
    """Their answers of fine-tuning."""
    model, pool, kind, batch, accumulate = configuration
    augmented = kind == "finetune"
    module = vision_transformer(model, pool).train()
    load(module, weights)
    factors = [(Factor(), Factor()) for _ in module.blocks]
    scales = published_scales(module, LAYER_DECAY)
    parameters = dict(module.named_parameters())
    optimizer = torch.optim.AdamW(
        [
            {"params": [parameters[name]], "lr_scale": scale, "weight_decay": decay}
            for name, (scale, decay) in scales.items()
        ],
        betas=(0.9, 0.999), eps=1e-8,
    )
    pixels = torch.from_numpy(pixel_values(batches["images"][0, :batch]))
    answers = {"losses": [], "learning_rates": [], "logits": module.eval()(pixels).detach().numpy()}
    module.train()
    for index, block in enumerate(module.blocks):
        block.drop_path1, block.drop_path2 = factors[index]
    for step in range(STEPS):
        optimizer.zero_grad()
        losses = []
        for i in range(accumulate):
            rows = slice(i * batch, (i + 1) * batch)
            labels = torch.from_numpy(batches["labels"][step, rows])
            if augmented:
                x = erased(batches["images"][step, rows], drawn["boxes"][step, rows], drawn["noise"][step, rows])
                x, targets = mix(x, labels, mixes[step][i], SMOOTHING)
                given = torch.from_numpy(drawn["drop_path"][step, rows]).double()
            else:
                x = torch.from_numpy(pixel_values(batches["images"][step, rows]))
                targets, given = torch.nn.functional.one_hot(labels, CLASSES), torch.ones(batch, 2 * model["depth"])
            for block, pair in enumerate(factors):
                pair[0].factors, pair[1].factors = given[:, 2 * block].double(), given[:, 2 * block + 1].double()
            loss = SoftTargetCrossEntropy()(module(x), targets.double())
            (loss / accumulate).backward()
            losses.append(loss.item())
        if step == 0:
            answers |= {f"{name}_grad": parameter.grad.numpy().copy() for name, parameter in parameters.items()}
        rate = published_rate(step, TUNED)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["lr_scale"]
        optimizer.step()
        answers["losses"].append(np.mean(losses))
        answers["learning_rates"].append(rate)
    for block in module.blocks:
        block.drop_path1 = block.drop_path2 = torch.nn.Identity()
    answers["logits_after"] = module.eval()(pixels).detach().numpy()
    return answers | named(module)


def probed(configuration, weights, batches):
    """Their answers of the linear probe: its head, batch norm's statistics."""
    model, pool, _, batch, accumulate = configuration
    module = vision_transformer(model, "cls").eval()  # with `norm`, which stays
    load(module, weights)
    norm = torch.nn.BatchNorm1d(model["embedDim"], affine=False, eps=1e-6).double()
    head = module.head
    momenta = {parameter: torch.zeros_like(parameter) for parameter in head.parameters()}

    def features(images):
        with torch.no_grad():
            tokens = module.forward_features(torch.from_numpy(pixel_values(images)))
        return tokens[:, 0] if pool == "cls" else tokens[:, 1:].mean(1)

    def evaluated():
        norm.eval()
        logits = head(norm(features(batches["images"][0, :batch]))).detach().numpy().copy()
        norm.train()
        return logits

    answers = {"losses": [], "learning_rates": [], "logits": evaluated()}
    for step in range(STEPS):
        head.zero_grad()
        losses = []
        for i in range(accumulate):
            rows = slice(i * batch, (i + 1) * batch)
            labels = torch.from_numpy(batches["labels"][step, rows])
            loss = torch.nn.functional.cross_entropy(head(norm(features(batches["images"][step, rows]))), labels)
            (loss / accumulate).backward()
            losses.append(loss.item())
        if step == 0:
            answers |= {f"head.{name}_grad": parameter.grad.numpy().copy() for name, parameter in head.named_parameters()}
        rate = published_rate(step, PROBED)
        with torch.no_grad():  # You et al., 2017, as `util/lars.py` has it: vectors have no rate of their own
            for parameter, momentum in momenta.items():
                ratio = TRUST * parameter.norm() / parameter.grad.norm() if parameter.ndim > 1 else 1
                momentum.mul_(MOMENTUM).add_(ratio * parameter.grad)
                parameter.sub_(rate * momentum)
        answers["losses"].append(np.mean(losses))
        answers["learning_rates"].append(rate)
    answers["logits_after"] = evaluated()
    statistics_ = {"head_norm.running_mean": norm.running_mean.numpy(), "head_norm.running_var": norm.running_var.numpy()}
    return answers | {f"head.{name}": value for name, value in named(head).items()} | statistics_


def compare(table, label, got, wanted, weights):
    """Every row of a configuration."""
    table.report(label, "loss", relative(got["loss"], wanted["losses"][0]))
    errors = np.abs(got["losses"] / wanted["losses"] - 1)
    table.report(label, "loss, each step", errors.max(), f"step {errors.argmax()}")
    table.report(label, "learning rates", np.abs(got["learning_rates"] - wanted["learning_rates"]).max())
    table.report(label, "logits", relative(got["logits"], wanted["logits"]))
    table.report(label, f"logits, {STEPS} steps", relative(got["logits_after"], wanted["logits_after"]))
    gradients = [name for name in wanted if name.endswith("_grad")]
    trained = [name.removesuffix("_grad") for name in gradients]
    pairs = {name: (got[name], wanted[name]) for name in [*gradients, *trained]}
    bare = {
        name: [without_keys(name.removesuffix("_grad"), tensor) for tensor in pair] for name, pair in pairs.items()
    }
    name, error = worst({name: relative(*bare[name]) for name in gradients})
    table.report(label, "gradients", error, name)
    norm = math.sqrt(sum(np.sum(np.square(wanted[name])) for name in gradients))
    table.report(label, "gradient norm", relative(got["gradient_norm"], norm))
    name, error = worst({name: relative(*bare[name]) for name in trained})
    table.report(label, f"parameters, {STEPS} steps", error, name)
    start = {name: without_keys(name, weights[name].astype(np.float64)) for name in trained}
    name, error = worst({name: relative(*(tensor - start[name] for tensor in bare[name])) for name in trained})
    table.report(label, f"movement, {STEPS} steps", error, name)
    biases = [name for name in trained if name.endswith("qkv.bias")]
    if biases:
        name, error = worst({
            name: np.linalg.norm(keys(got[f"{name}_grad"])) / np.linalg.norm(wanted[f"{name}_grad"]) for name in biases
        })
        table.report(label, "gradient of key biases", error, name)
        way = sum(wanted["learning_rates"])
        name, error = worst({name: np.abs(keys(got[name]) - keys(wanted[name])).max() / way for name in biases})
        table.report(label, f"key biases, {STEPS} steps", error, name)
    else:
        name, error = worst({name: relative(got[name], wanted[name]) for name in wanted if name.startswith("head_norm.")})
        table.report(label, "running statistics", error, name)
        fixed = [name for name in weights if not name.startswith("head")]
        changed = [name for name in fixed if got[name].tobytes() != weights[name].tobytes()]
        table.report(label, "tensors of the encoder that changed", len(changed), f"of {len(fixed)}")


def judge_steps(table, folder, name, configuration, kernels, seed):
    model, pool, kind, batch, accumulate = configuration
    rng = np.random.default_rng(seed)
    size = model["inputSize"] if isinstance(model["inputSize"], list) else [model["inputSize"]] * 2
    weights = draw_weights(rng, vision_transformer(model, "cls" if kind == "linprobe" else pool))
    pictures = random_images(rng, STEPS * accumulate * batch, max(size))[:, : size[0], : size[1]]
    labels = rng.integers(0, CLASSES, (STEPS, accumulate * batch))
    batches = {
        "images": np.ascontiguousarray(pictures.reshape(STEPS, -1, *size, 3)),
        "targets": np.eye(CLASSES, dtype=np.float32)[labels],
    }
    running = {
        "head_norm.running_mean": np.zeros(model["embedDim"], np.float32),
        "head_norm.running_var": np.ones(model["embedDim"], np.float32),
    }
    save_file(weights | (running if kind == "linprobe" else {}), folder / "weights.safetensors")
    save_file(batches, folder / "batches.safetensors")
    augmented, probing = kind == "finetune", kind == "linprobe"
    mixes = draw_mixes(rng, size, accumulate)
    adamw = {"kind": "adamw", "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8}
    lars = {"kind": "lars", "momentum": MOMENTUM, "trustCoefficient": TRUST}
    ours("finetune.mjs", folder, {
        "kind": "linprobe" if probing else "finetune", "model": model, "batchSize": batch, "accumIter": accumulate,
        "choices": {
            "classes": [str(i) for i in range(CLASSES)], "pool": pool, "layerDecay": LAYER_DECAY,
            "smoothing": SMOOTHING if augmented else 0, "hasDropPath": augmented, "hasMix": augmented, "hasErasing": augmented,
        },
        "weights": str(folder / "weights.safetensors"), "batches": str(folder / "batches.safetensors"),
        "erasing": ERASING, "mixes": mixes, "rates": np.linspace(0, DROP_PATH, model["depth"]).tolist(),
        "steps": STEPS, "schedule": PROBED if probing else TUNED, "weightDecay": 0 if probing else WEIGHT_DECAY,
        "optimizer": lars if probing else adamw, "kernels": kernels, "output": str(folder / "ours.safetensors"),
    })
    got = load_file(folder / "ours.safetensors")
    batches["labels"] = labels
    wanted = probed(configuration, weights, batches) if probing else finetuned(configuration, weights, batches, mixes, got)
    compare(table, name, got, wanted, weights)


def judge_layers(table, label, pool, run):
    module = vision_transformer(NANO, pool, classes=2)
    theirs = published_scales(module, LAYER_DECAY)
    mine = {each["name"]: each for each in run["parameters"]}
    table.report(label, "parameters that differ", len(mine.keys() ^ theirs.keys()), f"of {len(theirs)}")
    scales = {name: abs(mine[name]["lrScale"] - scale) for name, (scale, _) in theirs.items()}
    name, error = worst(scales)
    table.report(label, "scales", error, name)
    different = [name for name, (_, decay) in theirs.items() if (mine[name]["group"] == "decayed") != (decay > 0)]
    table.report(label, "decay that differs", len(different), ", ".join(different)[:100])


def judge_recipe(table, label, run, published, batch, steps_an_epoch):
    blr, epochs, warmup, layer_decay, drop_path = published
    schedule = {
        "lr": blr * batch / 256, "minLr": 1e-6, "warmupEpochs": warmup, "epochs": epochs, "stepsPerEpoch": steps_an_epoch,
    }
    wanted = [published_rate(step, schedule) for step in range(epochs * steps_an_epoch)]
    table.report(label, "learning rates", np.abs(np.subtract(run["rates"], wanted)).max(), f"{len(wanted)} steps")
    rates = [block.drop_path1.drop_prob if index else 0 for index, block in enumerate(
        vision_transformer(NANO, "mean", drop_path=drop_path).blocks
    )]
    table.report(label, "drop path", np.abs(np.subtract(run["dropPath"], rates)).max())
    scales = published_scales(vision_transformer(NANO, "mean"), layer_decay)
    table.report(label, "scales of layers", max(abs(each["lrScale"] - scales[each["name"]][0]) for each in run["parameters"]))
    optimizer = run["optimizer"]
    got = (optimizer["beta1"], optimizer["beta2"], optimizer["epsilon"], run["weightDecay"])
    table.report(label, "betas, epsilon, decay", sum(a != b for a, b in zip(got, (0.9, 0.999, 1e-8, 0.05))), str(got))


def judge_beginning(table, folder):
    rng = np.random.default_rng(77)
    data = folder / "pictures"
    for label in ("cat", "dog"):
        (data / label).mkdir(parents=True)
        for i, picture in enumerate(random_images(rng, 6, 16)):
            Image.fromarray(picture).save(data / label / f"{i}.png")
    common = {
        "command": "finetune", "dataPath": str(data), "outputDir": str(folder / "run"), "model": "mae_vit_nano_patch8_64",
        "fromScratch": True, "batchSize": 2, "accumIter": 2,
    }
    runs = [common | {"recipe": recipe} for recipe in PUBLISHED]
    runs += [common | {"recipe": "base", "pool": pool} for pool in ("mean", "cls")]
    width = 40
    tables = {
        name: rng.standard_normal((1 + rows * columns, width)).astype(np.float32)
        for name, ((rows, columns), _) in GRIDS.items()
    }
    save_file(tables, folder / "tables.safetensors")
    ours("finetune-plan.mjs", folder, {
        "dataPath": str(data), "images": 12, "runs": runs, "model": NANO, "classes": 1000,
        "tables": str(folder / "tables.safetensors"), "grids": {name: {"from": a, "to": b} for name, (a, b) in GRIDS.items()},
        "output": str(folder / "runs.json"), "tensors": str(folder / "tensors.safetensors"),
    })
    answers = json.loads((folder / "runs.json").read_text())
    got = load_file(folder / "tensors.safetensors")
    for (recipe, published), run in zip(PUBLISHED.items(), answers):
        judge_recipe(table, f"recipe {recipe}", run, published, batch=4, steps_an_epoch=3)
    mean, token, tuned, linear, positions = BEGINNING
    judge_layers(table, mean, "mean", answers[-2])
    judge_layers(table, token, "cls", answers[-1])
    for label, command, deviation in ((tuned, "finetune", 2e-5), (linear, "linprobe", 0.01)):
        sample = trunc_normal_(torch.empty(1_000_000), std=deviation)
        for what, share in statistics(got[f"head.{command}"], sample, kurtosis=3).items():
            table.report(label, what, share)
    errors, token_moved = {}, 0
    for name, (start, end) in GRIDS.items():
        patches = torch.from_numpy(tables[name][1:]).T.reshape(1, width, *start).double()
        wanted = torch.nn.functional.interpolate(patches, size=end, mode="bicubic", align_corners=False)[0]
        errors[name] = relative(got[name][1:], wanted.reshape(width, -1).T.numpy())
        token_moved += not np.array_equal(got[name][0], tables[name][0])
    name, error = worst(errors)
    table.report(positions, "largest error", error, name)
    table.report(positions, "class token", token_moved)


def main(rows, folder, only=""):
    torch.set_num_threads(1)
    torch.manual_seed(9)
    table = Table("fine-tuning", rows)
    chosen = {name: configuration for name, configuration in CONFIGURATIONS.items() if only in name}
    ways = {"": False, ", kernels": True}
    for name, (*_, kind, _, _) in chosen.items():
        for suffix in ways:
            table.plan(name + suffix, ALL | TOKEN | (PROBE if kind == "linprobe" else ENCODER))
    for label, planned in BEGINNING.items():
        table.plan(label, planned)
    for recipe in PUBLISHED:
        table.plan(f"recipe {recipe}", RECIPES)
    for index, (name, configuration) in enumerate(chosen.items()):
        for suffix, kernels in ways.items():
            with table.measuring(name + suffix):
                judge_steps(table, folder, name + suffix, configuration, kernels, 7000 + index)
    with table.measuring("beginning"):
        judge_beginning(table, folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
