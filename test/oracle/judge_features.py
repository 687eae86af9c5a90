"""transformers' ViTModel, in float64: the features that `mae embed` writes for pictures of the model's own size.

The weights go through `mae export --format hf`. PNG files that need no resizing keep the loader's pixels known.
"""

import sys
from pathlib import Path

import numpy as np
import torch
from judge_transformers import sincos_table
from PIL import Image
from safetensors.numpy import load_file
from shared import BASE, NANO, PATCH14, TINY, mae, pixel_values, random_images, random_weights, relative, save_checkpoint
from table import Table
from transformers import ViTConfig, ViTModel

IMAGES = 5
BATCH = 2  # the last batch is not full
CONFIGURATIONS = {"nano": NANO, "tiny": TINY, "patch 14": PATCH14, "base": BASE}
ROWS = {
    "weights missing or left over": 0,
    "files out of order": 0,
    "mean": 1e-5,
    "class token": 1e-5,
    "all tokens": 1e-5,
    "mean after block 2": 1e-5,
}


def their_model(model, state):
    """The encoder of an exported folder in transformers' plain ViT, and how many names do not fit."""
    config = ViTConfig(
        image_size=model["inputSize"], patch_size=model["patchSize"], hidden_size=model["embedDim"],
        num_hidden_layers=model["depth"], num_attention_heads=model["numHeads"],
        intermediate_size=int(model["mlpRatio"] * model["embedDim"]), hidden_act="gelu", qkv_bias=True,
        layer_norm_eps=1e-6, attn_implementation="sdpa",
    )
    module = ViTModel(config, add_pooling_layer=False).eval()
    encoder = {name[len("vit."):]: torch.from_numpy(value) for name, value in state.items() if name.startswith("vit.")}
    found = module.load_state_dict(encoder, strict=False)
    return module.double(), len(found.missing_keys) + len(found.unexpected_keys)


def write_pictures(folder, images):
    """Names whose order is not that of their making; returns the images in the order of the paths' bytes."""
    names = ["b/2.png", "b/10.png", "a.png", "é.png", "Z/x.png"]
    for name, image in zip(names, images, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / name)
    order = sorted(range(len(names)), key=lambda i: names[i].encode())
    return [names[i] for i in order], images[order]


def main(rows, folder):
    torch.set_num_threads(1)
    table = Table("features", rows)
    for label in CONFIGURATIONS:
        table.plan(label, ROWS)
    for index, (label, model) in enumerate(CONFIGURATIONS.items()):
        with table.measuring(label):
            rng = np.random.default_rng(7000 + index)
            place = folder / str(index)
            pictures, checkpoint, exported = place / "pictures", place / "model.safetensors", place / "hf"
            pictures.mkdir(parents=True)
            names, images = write_pictures(pictures, random_images(rng, IMAGES, model["inputSize"]))
            save_checkpoint(checkpoint, model, random_weights(rng, model, sincos_table))
            mae("export", "--checkpoint", checkpoint, "--format", "hf", "-o", exported)

            def embed(pool, ending, *more):
                output = place / f"features{ending}"
                mae(
                    "embed", "--checkpoint", checkpoint, "--data-path", pictures, "--pool", pool, "-o", output,
                    "--batch-size", BATCH, *more,
                )
                return output

            theirs, unfit = their_model(model, load_file(exported / "model.safetensors"))
            table.report(label, "weights missing or left over", unfit)
            with torch.no_grad():
                output = theirs(torch.from_numpy(pixel_values(images)), output_hidden_states=True)
                second = theirs.layernorm(output.hidden_states[2]).numpy()
            tokens = output.last_hidden_state.numpy()

            def report(what, got, wanted):
                table.report(label, what, relative(got, wanted), f"largest difference {np.abs(got - wanted).max():.1e}")

            report("mean", np.load(embed("mean", ".npy")), tokens[:, 1:].mean(1))
            found = (place / "features.names.txt").read_text().splitlines()
            table.report(label, "files out of order", sum(a != b for a, b in zip(found, names, strict=True)))
            report("class token", load_file(embed("cls", ".safetensors"))["features"], tokens[:, 0])
            report("all tokens", np.load(embed("none", ".npy")), tokens)
            report("mean after block 2", np.load(embed("mean", ".npy", "--layer", 2)), second[:, 1:].mean(1))
            del theirs


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
