"""Fine-tuned models and linear probes: `mae export` and `mae export-classifier`, run by timm, transformers and ONNX Runtime."""

import json
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from judge_transformers import sincos_table
from safetensors.numpy import save_file
from shared import NANO, mae, ours, pixel_values, random_images, random_weights
from table import Table
from transformers import AutoImageProcessor, AutoModelForImageClassification

CLASSES = ["zebra", "ant", "bee", "cat", "dog", "elk", "fox"]
CONFIGURATIONS = [("fine-tuned", "mean"), ("fine-tuned", "cls"), ("linear probe", "mean"), ("linear probe", "cls")]
BOUND = 1e-4
TIMM, WRAPPER, VIT, ONNX = (
    "logits, timm.create_model", "logits, transformers' TimmWrapper", "logits, ViTForImageClassification", "logits, onnxruntime",
)


def classifier_weights(rng, kind, pool):
    """What a run saves: nothing at a special value. Positions of a fine-tuned model have moved away from their table."""
    weights = {
        name: value for name, value in random_weights(rng, NANO, sincos_table).items()
        if not name.startswith("decoder") and name != "mask_token"
    }
    width = NANO["embedDim"]
    if kind == "linear probe":
        weights["head_norm.running_mean"] = rng.standard_normal(width)
        weights["head_norm.running_var"] = rng.uniform(0.2, 3, width)
    else:
        weights["pos_embed"] = weights["pos_embed"] + 0.1 * rng.standard_normal(weights["pos_embed"].shape)
        if pool == "mean":
            for part in ("weight", "bias"):
                weights[f"fc_norm.{part}"] = weights.pop(f"norm.{part}")
    weights["head.weight"] = rng.standard_normal((len(CLASSES), width)) / np.sqrt(width)
    weights["head.bias"] = 0.3 * rng.standard_normal(len(CLASSES))
    return {name: np.ascontiguousarray(value, dtype=np.float32) for name, value in weights.items()}


def save_classifier(path, pool, weights):
    save_file(weights, path, {
        "format": "mae", "model": json.dumps(NANO), "step": "3", "task": "classifier", "classes": json.dumps(CLASSES),
        "pool": pool, "crop_pct": "0.875",
    })


def labels_of(model):
    return [model.config.id2label[i] for i in range(len(CLASSES))]


def main(rows, folder):
    import onnxruntime

    table = Table("classifier", rows)
    for kind, pool in CONFIGURATIONS:
        what = [TIMM, WRAPPER, ONNX] + ([VIT] if pool == "cls" else [])
        table.plan(f"{kind}, {pool}", {name: BOUND for name in what} | {"labels and crop that differ": 0})
    for number, (kind, pool) in enumerate(CONFIGURATIONS):
        configuration = f"{kind}, {pool}"
        with table.measuring(configuration):
            rng = np.random.default_rng(7000 + number)
            place = folder / str(number)
            place.mkdir()
            checkpoint = place / "model.safetensors"
            save_classifier(checkpoint, pool, classifier_weights(rng, kind, pool))
            images = random_images(rng, 3, NANO["inputSize"])
            (place / "images").write_bytes(images.tobytes())
            ours("classifier.mjs", place, {
                "checkpoint": str(checkpoint), "images": str(place / "images"), "count": 3, "logits": str(place / "logits"),
            })
            wanted = np.frombuffer((place / "logits").read_bytes(), np.float32).reshape(3, -1)
            pixels = pixel_values(images).astype(np.float32)
            largest = max(1, np.abs(wanted).max())
            difference = lambda got: np.abs(np.asarray(got) - wanted).max() / largest

            mae("export", "--checkpoint", checkpoint, "--format", "timm", "-o", place / "timm")
            module = timm.create_model(f"local-dir:{place / 'timm'}", pretrained=True).eval()
            with torch.inference_mode():
                table.report(configuration, TIMM, difference(module(torch.from_numpy(pixels))))
                wrapped = AutoModelForImageClassification.from_pretrained(place / "timm").eval()
                table.report(configuration, WRAPPER, difference(wrapped(torch.from_numpy(pixels)).logits))
            data = timm.data.resolve_model_data_config(module)
            wrong = [data["crop_pct"] != 0.875, tuple(data["input_size"]) != (3, 64, 64), labels_of(wrapped) != CLASSES]

            mae("export-classifier", "--checkpoint", checkpoint, "-o", place / "model.onnx")
            session = onnxruntime.InferenceSession(place / "model.onnx", providers=["CPUExecutionProvider"])
            table.report(configuration, ONNX, difference(session.run(None, {"pixel_values": pixels})[0]))
            described = session.get_modelmeta().custom_metadata_map
            wrong += [json.loads(described["mae.classes"]) != CLASSES, float(described["mae.crop_pct"]) != 0.875]

            if pool == "cls":
                mae("export", "--checkpoint", checkpoint, "--format", "hf", "-o", place / "hf")
                model, info = AutoModelForImageClassification.from_pretrained(place / "hf", output_loading_info=True)
                problems = [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]]
                with torch.inference_mode():
                    got = model.eval()(torch.from_numpy(pixels)).logits
                table.report(configuration, VIT, difference(got) if not problems else np.nan, ", ".join(problems)[:200])
                processor = AutoImageProcessor.from_pretrained(place / "hf")
                prepared = processor(images=[image for image in images], do_resize=False, return_tensors="np")["pixel_values"]
                wrong += [
                    labels_of(model) != CLASSES, processor.size["shortest_edge"] != 73,
                    np.abs(prepared - pixels).max() > 1e-5,
                ]
            table.report(configuration, "labels and crop that differ", sum(wrong), str(wrong) if any(wrong) else "")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
