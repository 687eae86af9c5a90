"""transformers' ViTMAEForPreTraining, in float64: loss, predictions, every gradient, parameters after AdamW steps."""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from shared import (
    BASE, NANO, PATCH14, ROOT, TINY, finish, grid, keys, pixel_values, random_images, random_shuffle, random_weights, relative,
    start, without_keys, worst,
)
from table import Table
from transformers import ViTMAEConfig, ViTMAEForPreTraining, get_cosine_schedule_with_warmup
from transformers.models.vit_mae.modeling_vit_mae import ViTMAEEmbeddings

KERNELS = ROOT / "dist" / "kernels" / "libmae_kernels.so"
STEPS, WARMUP_STEPS, LR, WEIGHT_DECAY = 20, 5, 1e-3, 0.05

# name: model, mask ratio, norm_pix_loss, batch size, micro-batches in a step
CONFIGURATIONS = {
    "nano": (NANO, 0.75, True, 8, 1),
    "nano, accumulating": (NANO, 0.5, False, 1, 4),
    "nano, most removed": (NANO, 0.9, True, 8, 4),
    "tiny": (TINY, 0.75, True, 1, 4),
    "tiny, plain pixels": (TINY, 0.9, False, 8, 1),
    "patch 14": (PATCH14, 0.5, True, 1, 1),
    "patch 14, accumulating": (PATCH14, 0.75, False, 8, 4),
    "base": (BASE, 0.75, True, 1, 1),
}

ROWS = {
    "loss": 1e-5,
    "predictions": 1e-5,
    "gradients": 1e-4,
    "gradient norm": 1e-5,
    "gradient of key biases": 1e-6,
    f"parameters, {STEPS} steps": 1e-4,
    f"movement, {STEPS} steps": 1e-4,
    f"key biases, {STEPS} steps": 1.0,
}


def describe(name):
    model, mask_ratio, norm_pix_loss, batch, accumulate = CONFIGURATIONS[name]
    pixels = "norm-pix" if norm_pix_loss else "plain"
    return f"{name.split(',')[0]}, mask {mask_ratio}, {pixels}, batch {batch}×{accumulate}"


def sincos_table(dim, side):
    """[1 + side², dim] by transformers' code, which ViTMAEModel(config) of 5.23 itself skips."""
    module = ViTMAEEmbeddings(ViTMAEConfig(image_size=side, patch_size=1, hidden_size=dim))
    module.initialize_weights()
    assert module.position_embeddings.any()
    return module.position_embeddings.detach()[0].numpy()


def their_names(model):
    """Published name -> transformers' parameters that make it up, joined along their first axis."""
    names = {
        "cls_token": ["vit.embeddings.cls_token"],
        "pos_embed": ["vit.embeddings.position_embeddings"],
        "mask_token": ["decoder.mask_token"],
        "decoder_pos_embed": ["decoder.decoder_pos_embed"],
    }
    modules = {
        "patch_embed.proj": ["vit.embeddings.patch_embeddings.projection"],
        "norm": ["vit.layernorm"],
        "decoder_embed": ["decoder.decoder_embed"],
        "decoder_norm": ["decoder.decoder_norm"],
        "decoder_pred": ["decoder.decoder_pred"],
    }
    for ours_, theirs, depth in [
        ("blocks", "vit.layers", model["depth"]),
        ("decoder_blocks", "decoder.decoder_layers", model["decoderDepth"]),
    ]:
        for n in range(depth):
            modules |= {
                f"{ours_}.{n}.norm1": [f"{theirs}.{n}.layernorm_before"],
                f"{ours_}.{n}.attn.qkv": [f"{theirs}.{n}.attention.{part}_proj" for part in "qkv"],
                f"{ours_}.{n}.attn.proj": [f"{theirs}.{n}.attention.o_proj"],
                f"{ours_}.{n}.norm2": [f"{theirs}.{n}.layernorm_after"],
                f"{ours_}.{n}.mlp.fc1": [f"{theirs}.{n}.mlp.fc1"],
                f"{ours_}.{n}.mlp.fc2": [f"{theirs}.{n}.mlp.fc2"],
            }
    for name, parts in modules.items():
        for kind in ("weight", "bias"):
            names[f"{name}.{kind}"] = [f"{part}.{kind}" for part in parts]
    return names


def their_model(model, mask_ratio, norm_pix_loss, weights, dtype):
    config = ViTMAEConfig(
        image_size=model["inputSize"], patch_size=model["patchSize"], mask_ratio=mask_ratio,
        norm_pix_loss=norm_pix_loss, hidden_size=model["embedDim"], num_hidden_layers=model["depth"],
        num_attention_heads=model["numHeads"], intermediate_size=int(model["mlpRatio"] * model["embedDim"]),
        decoder_hidden_size=model["decoderEmbedDim"], decoder_num_hidden_layers=model["decoderDepth"],
        decoder_num_attention_heads=model["decoderNumHeads"],
        decoder_intermediate_size=int(model["mlpRatio"] * model["decoderEmbedDim"]),
        hidden_act="gelu", qkv_bias=True, layer_norm_eps=1e-6,
        attn_implementation="sdpa",  # the eager attention takes its softmax in float32 whatever the model is
    )
    module = ViTMAEForPreTraining(config).train()
    state = {}
    for name, parts in their_names(model).items():
        pieces = np.split(weights[name], len(parts)) if len(parts) > 1 else [weights[name]]
        state |= {part: torch.from_numpy(piece) for part, piece in zip(parts, pieces)}
    module.load_state_dict(state, strict=True)
    return module.to(dtype)


def published(model, tensors):
    return {
        name: np.concatenate([tensors[part].detach().numpy() for part in parts])
        for name, parts in their_names(model).items()
        if all(tensors[part] is not None for part in parts)
    }


def theirs(configuration, weights, batches, dtype):
    """Their answers: published names, gradients `<parameter>_grad`, predictions in the images' own patch order."""
    model, mask_ratio, norm_pix_loss, batch, accumulate = configuration
    module = their_model(model, mask_ratio, norm_pix_loss, weights, dtype)
    parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in parameters.values() if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in parameters.values() if p.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=LR, betas=(0.9, 0.95), eps=1e-8,
    )
    schedule = get_cosine_schedule_with_warmup(optimizer, WARMUP_STEPS, STEPS)
    answers = {"rates": []}
    for step in range(STEPS):
        optimizer.zero_grad()
        losses, predictions = [], []
        for i in range(accumulate):
            rows = slice(i * batch, (i + 1) * batch)
            pixels = torch.from_numpy(pixel_values(batches["images"][step, rows])).to(dtype)
            noise = torch.from_numpy(np.argsort(batches["ids_shuffle"][step, rows], axis=1)).to(dtype)
            out = module(pixels, noise=noise)
            (out.loss / accumulate).backward()
            losses.append(out.loss.item())
            predictions.append(out.logits.detach().numpy())
        if step == 0:
            answers |= {"loss": np.mean(losses), "pred": np.concatenate(predictions)}
            gradients = published(model, {n: p.grad for n, p in module.named_parameters()})
            answers |= {f"{name}_grad": gradient for name, gradient in gradients.items()}
        answers["rates"].append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return answers | {n: t.copy() for n, t in published(model, dict(module.named_parameters())).items()}


def start_ours(folder, configuration, weights, batches, kernels):
    model, mask_ratio, norm_pix_loss, batch, accumulate = configuration
    save_file(weights, folder / "weights.safetensors")
    save_file(batches, folder / "batches.safetensors")
    steps_per_epoch = 2  # so that the schedule runs over fractions of epochs
    return start("steps.mjs", folder, {
        "model": model, "batchSize": batch, "accumIter": accumulate, "maskRatio": mask_ratio,
        "normPixLoss": norm_pix_loss, "weights": str(folder / "weights.safetensors"),
        "batches": str(folder / "batches.safetensors"), "output": str(folder / "ours.safetensors"),
        "steps": STEPS, "weightDecay": WEIGHT_DECAY, "kernels": kernels,
        "schedule": {
            "lr": LR, "minLr": 0, "warmupEpochs": WARMUP_STEPS / steps_per_epoch, "epochs": STEPS / steps_per_epoch,
            "stepsPerEpoch": steps_per_epoch,
        },
    })


def our_answers(folder, accumulate, batches):
    answers = load_file(folder / "ours.safetensors")
    shuffled = np.concatenate([answers[f"pred.{i}"] for i in range(accumulate)])
    answers["pred"] = np.empty_like(shuffled)
    for image, ids in enumerate(batches["ids_shuffle"][0]):
        answers["pred"][image, ids] = shuffled[image]
    return answers


def compare(table, label, got, wanted, weights):
    """Reports the rows of a configuration."""
    gradients = [name for name in wanted if name.endswith("_grad")]
    trained = [name.removesuffix("_grad") for name in gradients]
    biases = [name for name in trained if name.endswith("qkv.bias")]
    assert {name for name in got if name.endswith("_grad")} == set(gradients)

    table.report(label, "loss", relative(got["loss"], wanted["loss"]))
    table.report(label, "predictions", relative(got["pred"], wanted["pred"]))
    name, error = worst({
        name: relative(without_keys(name, got[f"{name}_grad"]), without_keys(name, wanted[f"{name}_grad"]))
        for name in trained
    })
    table.report(label, "gradients", error, name)
    norm = np.sqrt(sum(np.sum(np.square(wanted[name], dtype=np.float64)) for name in gradients))
    table.report(label, "gradient norm", relative(got["gradient_norm"], norm))
    # zero but for rounding: against the norm of the whole bias's gradient
    name, error = worst({
        name: np.linalg.norm(keys(got[f"{name}_grad"])) / np.linalg.norm(wanted[f"{name}_grad"]) for name in biases
    })
    table.report(label, "gradient of key biases", error, name)

    for name in wanted:
        if name.endswith("pos_embed"):
            assert np.array_equal(got[name], wanted[name].astype(np.float32)), f"{name} moved"
    name, error = worst({
        name: relative(without_keys(name, got[name]), without_keys(name, wanted[name])) for name in trained
    })
    table.report(label, f"parameters, {STEPS} steps", error, name)
    name, error = worst({
        name: relative(*(without_keys(name, after[name].astype(np.float64) - weights[name]) for after in (got, wanted)))
        for name in trained
    })
    table.report(label, f"movement, {STEPS} steps", error, name)
    # AdamW makes steps of up to the learning rate from rounding: as a share of the way it could have gone
    name, error = worst({
        name: np.abs(keys(got[name]) - keys(wanted[name])).max() / sum(wanted["rates"]) for name in biases
    })
    table.report(label, f"key biases, {STEPS} steps", error, name)


def main(rows, folder, only=""):
    torch.set_num_threads(1)  # our script has the other core
    table = Table("transformers", rows)
    chosen = {name: configuration for name, configuration in CONFIGURATIONS.items() if only in name}
    ways = [("", False), (", kernels", True)] if KERNELS.exists() else [("", False)]
    if len(ways) == 1:
        print(f"the kernels are not judged: none at {KERNELS}", flush=True)
    for name in chosen:
        for suffix, _ in ways:
            table.plan(describe(name) + suffix, ROWS)
    for index, (name, configuration) in enumerate(chosen.items()):
        with table.measuring(describe(name)):
            model, _, _, batch, accumulate = configuration
            rng = np.random.default_rng(1000 + index)
            weights = random_weights(rng, model, sincos_table)
            count, patches = STEPS * batch * accumulate, grid(model) ** 2
            batches = {
                "images": random_images(rng, count, model["inputSize"]).reshape(STEPS, -1, *[model["inputSize"]] * 2, 3),
                "ids_shuffle": random_shuffle(rng, count, patches).reshape(STEPS, -1, patches),
            }
            started = time.time()
            process = start_ours(folder, configuration, weights, batches, kernels=False)
            wanted = theirs(configuration, weights, batches, torch.float64)
            middle = time.time()
            finish(process)
            print(
                f"{describe(name)}: theirs {middle - started:.1f} s, waited for ours {time.time() - middle:.1f} s",
                flush=True,
            )
            compare(table, describe(name), our_answers(folder, accumulate, batches), wanted, weights)
        for suffix, kernels in ways[1:]:
            with table.measuring(describe(name) + suffix):
                finish(start_ours(folder, configuration, weights, batches, kernels))
                compare(table, describe(name) + suffix, our_answers(folder, accumulate, batches), wanted, weights)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
