"""timm's vision transformers: our exported weights load strictly, and they give the tokens of our exported ONNX encoder."""

import sys
from pathlib import Path

import numpy as np
import onnxruntime
import timm
import torch
from judge_transformers import sincos_table
from safetensors.numpy import load_file
from shared import mae, pixel_values, preset, random_images, random_weights, relative, save_checkpoint
from table import Table

IMAGES = 2
ROWS = {"names missing or left over": 0, "tokens": 1e-4}


def main(rows, folder):
    torch.set_num_threads(1)
    table = Table("timm", rows)
    labels = {size: f"vit_{size}_patch16_224" for size in ("tiny", "small", "base", "large")}
    for label in labels.values():
        table.plan(label, ROWS)
    for index, (size, label) in enumerate(labels.items()):
        with table.measuring(label):
            model = preset(f"mae_vit_{size}_patch16")
            rng = np.random.default_rng(3000 + index)
            names = ("model.safetensors", "encoder.safetensors", "encoder.onnx")
            checkpoint, weights, encoder = (folder / name for name in names)
            save_checkpoint(checkpoint, model, random_weights(rng, model, sincos_table))
            mae("export-encoder", "--checkpoint", checkpoint, "--format", "safetensors", "-o", weights)
            mae("export-encoder", "--checkpoint", checkpoint, "--pool", "none", "-o", encoder)

            theirs = timm.create_model(label, num_classes=0).eval()
            state = {name: torch.from_numpy(value) for name, value in load_file(weights).items()}
            found = theirs.load_state_dict(state, strict=False)
            table.report(label, "names missing or left over", len(found.missing_keys) + len(found.unexpected_keys))
            theirs.load_state_dict(state, strict=True)

            pixels = pixel_values(random_images(rng, IMAGES, model["inputSize"]))
            with torch.no_grad():
                wanted = theirs.double().forward_features(torch.from_numpy(pixels)).numpy()
            session = onnxruntime.InferenceSession(encoder, providers=["CPUExecutionProvider"])
            [got] = session.run(["last_hidden_state"], {"pixel_values": pixels.astype(np.float32)})
            table.report(label, "tokens", relative(got, wanted), f"largest difference {np.abs(got - wanted).max():.1e}")
            del theirs, state, session


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
