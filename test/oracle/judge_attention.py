"""transformers' ViTModel with `output_attentions`: what the class token attends to in the last block, as `mae report` shows."""

import sys
from pathlib import Path

import numpy as np
import torch
from judge_transformers import sincos_table
from shared import BASE, NANO, PATCH14, TINY, grid, mae, ours, pixel_values, random_images, random_weights, relative, save_checkpoint
from table import Table
from transformers import ViTConfig, ViTMAEForPreTraining, ViTModel

IMAGES = 3
CONFIGURATIONS = {"nano": NANO, "tiny": TINY, "patch 14": PATCH14, "base": BASE}
# the eager attention takes its softmax in float32 whatever the model is
ROWS = {"attention of the class token": 1e-5, "sum of each row, less 1": 1e-5}


def their_model(model, exported):
    encoder = ViTMAEForPreTraining.from_pretrained(exported).vit.state_dict()
    config = ViTConfig(
        image_size=model["inputSize"], patch_size=model["patchSize"], hidden_size=model["embedDim"],
        num_hidden_layers=model["depth"], num_attention_heads=model["numHeads"],
        intermediate_size=int(model["mlpRatio"] * model["embedDim"]), hidden_act="gelu", qkv_bias=True,
        layer_norm_eps=1e-6, attn_implementation="eager",
    )
    module = ViTModel(config, add_pooling_layer=False).eval()
    module.load_state_dict(encoder, strict=True)
    return module.double()


def main(rows, folder):
    torch.set_num_threads(1)
    table = Table("attention", rows)
    for label in CONFIGURATIONS:
        table.plan(label, ROWS)
    for index, (label, model) in enumerate(CONFIGURATIONS.items()):
        with table.measuring(label):
            rng = np.random.default_rng(7100 + index)
            place = folder / str(index)
            place.mkdir()
            checkpoint, exported = place / "model.safetensors", place / "hf"
            pictures, attention = place / "images.bin", place / "attention.bin"
            images = random_images(rng, IMAGES, model["inputSize"])
            pictures.write_bytes(images.tobytes())
            save_checkpoint(checkpoint, model, random_weights(rng, model, sincos_table))
            mae("export", "--checkpoint", checkpoint, "--format", "hf", "-o", exported)
            job = {
                "checkpoint": str(checkpoint), "images": str(pictures), "count": IMAGES, "attention": str(attention),
            }
            ours("attention.mjs", place, job)
            shape = (IMAGES, model["numHeads"], 1 + grid(model) ** 2)
            found = np.fromfile(attention, np.float32).reshape(shape)
            with torch.no_grad():
                answer = their_model(model, exported)(torch.from_numpy(pixel_values(images)), output_attentions=True)
            wanted = answer.attentions[-1][:, :, 0].numpy()  # [B, heads, T], the class token's row
            table.report(label, "attention of the class token", relative(found, wanted))
            table.report(label, "sum of each row, less 1", np.abs(found.astype(np.float64).sum(-1) - 1).max())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
