"""`mae export --format web` and `mae export-encoder`, opened by transformers, onnx and ONNX Runtime.

`AutoModel` and `AutoImageProcessor` read the folder unmasked. ONNX Runtime's own quantize_dynamic says what 8 bits cost. For
pictures of any size transformers' `interpolate_pos_encoding` is the judge. examples/features.py runs in this environment.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from judge_transformers import sincos_table
from onnxruntime.quantization import QuantType, quantize_dynamic
from PIL import Image
from shared import NANO, PATCH14, ROOT, TINY, mae, pixel_values, random_images, random_weights, relative, save_checkpoint
from table import Table
from transformers import AutoImageProcessor, AutoModel, ViTForImageClassification

CONFIGURATIONS = {"nano": NANO, "tiny": TINY, "patch 14": PATCH14}
IMAGES = 3
BOUND = 1e-4  # of the largest difference
ROWS = {
    "weights missing, left over or of another shape": 0,
    "AutoImageProcessor, AutoModel: mean of the patch tokens": BOUND,
    "AutoImageProcessor, AutoModel: all tokens": BOUND,
    "AutoModel: pooler_output, the class token": BOUND,
    "ViTForImageClassification: weights missing beside its head": 0,
    "pictures of twice the size, Pillow: mean of the patch tokens": 1e-2,
    "onnxruntime: model.onnx, pooler_output": BOUND,
    "onnxruntime: model_fp16.onnx, 1 - cosine": 1e-5,
    "onnxruntime: model_quantized.onnx, 1 - cosine": 1e-3,
    "times the error of quantize_dynamic, by channel": 1.5,
    "onnx.checker: models that fail": 0,
}
EXAMPLE = {"examples/features.py": BOUND}
SIZES = {"as stored": (8, 8), "smaller, not square": (5, 9), "larger": (11, 10)}  # patches of nano
ANY_SIZE = {f"bicubic against transformers, {name}": BOUND for name in SIZES}
OPSETS = {"onnx.checker: files that fail": 0, "opsets and versions of the format that differ": 0, "opset 17 against 20": 1e-5}


def run(path, pixels, name):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run([name], {"pixel_values": pixels.astype(np.float32)})[0]


def most(got, wanted):
    if got.shape != wanted.shape:
        raise ValueError(f"expected {wanted.shape}, got {got.shape}")
    return np.abs(got.astype(np.float64) - wanted).max()


def lost(got, wanted):
    """1 - the smallest cosine of two lists of features."""
    got, wanted = got.astype(np.float64), wanted.astype(np.float64)
    cosines = (got * wanted).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(wanted, axis=1)
    return 1 - cosines.min()


def failures(paths):
    count = 0
    for path in paths:
        try:
            onnx.checker.check_model(str(path), full_check=True)
        except onnx.checker.ValidationError as error:
            print(path, error)
            count += 1
    return count


def embedded(checkpoint, pictures, pool, output):
    mae("embed", "--checkpoint", checkpoint, "--data-path", pictures, "--pool", pool, "-o", output)
    return np.load(output)


def written(folder, images):
    folder.mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(folder / f"{index}.png")
    return [Image.open(folder / f"{index}.png") for index in range(len(images))]


def judge_folder(table, label, model, rng, place):
    def report(what, error, note=""):
        table.report(label, what, error, note)

    size = model["inputSize"]
    checkpoint, web = place / "model.safetensors", place / "web"
    save_checkpoint(checkpoint, model, random_weights(rng, model, sincos_table))
    images = random_images(rng, IMAGES, size)
    pictures, larger = place / "pictures", place / "larger"
    opened, opened_larger = written(pictures, images), written(larger, random_images(rng, IMAGES, 2 * size))
    mae("export", "--checkpoint", checkpoint, "--format", "web", "-o", web)
    mean, tokens = (embedded(checkpoint, pictures, pool, place / f"{pool}.npy") for pool in ("mean", "none"))

    module, info = AutoModel.from_pretrained(web, output_loading_info=True)
    problems = [*info["missing_keys"], *info["unexpected_keys"], *info["mismatched_keys"]]
    report("weights missing, left over or of another shape", len(problems), ", ".join(map(str, problems))[:200])
    processor = AutoImageProcessor.from_pretrained(web, backend="pil")

    def theirs(given):
        with torch.no_grad():
            return module.eval()(**processor(given, return_tensors="pt"))

    output = theirs(opened)
    last = output.last_hidden_state.numpy()
    report("AutoImageProcessor, AutoModel: mean of the patch tokens", most(last[:, 1:].mean(1), mean))
    report("AutoImageProcessor, AutoModel: all tokens", most(last, tokens))
    report("AutoModel: pooler_output, the class token", most(output.pooler_output.numpy(), tokens[:, 0]))
    _, info = ViTForImageClassification.from_pretrained(web, output_loading_info=True)
    missing = sorted(set(info["missing_keys"]) - {"classifier.weight", "classifier.bias"})
    report("ViTForImageClassification: weights missing beside its head", len(missing), ", ".join(missing)[:200])
    wanted = embedded(checkpoint, larger, "mean", place / "larger.npy")
    got = theirs(opened_larger).last_hidden_state[:, 1:].mean(1).numpy()
    report("pictures of twice the size, Pillow: mean of the patch tokens", relative(got, wanted), f"{most(got, wanted):.1e}")

    pixels = pixel_values(images)
    paths = {name: web / "onnx" / f"{name}.onnx" for name in ("model", "model_fp16", "model_quantized")}
    features = {name: run(path, pixels, "pooler_output") for name, path in paths.items()}
    report("onnxruntime: model.onnx, pooler_output", most(features["model"], mean))
    report("onnxruntime: model_fp16.onnx, 1 - cosine", lost(features["model_fp16"], mean))
    ours = lost(features["model_quantized"], mean)
    report("onnxruntime: model_quantized.onnx, 1 - cosine", ours)
    quantize_dynamic(paths["model"], place / "theirs.onnx", per_channel=True, weight_type=QuantType.QInt8)
    reference = lost(run(place / "theirs.onnx", pixels, "pooler_output"), mean)
    report("times the error of quantize_dynamic, by channel", ours / reference, f"{ours:.1e}, {reference:.1e}")
    report("onnx.checker: models that fail", failures(paths.values()))
    return web, pictures, mean


def judge_example(table, web, pictures, mean):
    names = [str(pictures / f"{index}.png") for index in range(IMAGES)]
    command = [sys.executable, str(ROOT / "examples" / "features.py"), str(web), *names]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    features = np.array([json.loads(line)["features"] for line in lines])
    table.report("examples", "examples/features.py", most(features, mean))


def judge_any_size(table, rng, place):
    """Positions that were trained: interpolated in the graph, and by transformers."""
    weights = random_weights(rng, NANO, sincos_table)
    weights["pos_embed"] += 0.3 * rng.standard_normal(weights["pos_embed"].shape).astype(np.float32)
    checkpoint, web, path = place / "model.safetensors", place / "web", place / "any.onnx"
    save_checkpoint(checkpoint, NANO, weights)
    mae("export", "--checkpoint", checkpoint, "--format", "web", "-o", web)
    flags = ("--dynamic-size", "--positions", "bicubic", "--pool", "none")
    mae("export-encoder", "--checkpoint", checkpoint, "-o", path, *flags)
    module = AutoModel.from_pretrained(web).eval()
    for name, (rows, columns) in SIZES.items():
        pixels = rng.standard_normal((2, 3, rows * NANO["patchSize"], columns * NANO["patchSize"])).astype(np.float32)
        with torch.no_grad():
            wanted = module(torch.from_numpy(pixels), interpolate_pos_encoding=True).last_hidden_state.numpy()
        got = run(path, pixels, "last_hidden_state")
        table.report("any size", f"bicubic against transformers, {name}", most(got, wanted))


def judge_opsets(table, rng, place):
    checkpoint = place / "model.safetensors"
    save_checkpoint(checkpoint, NANO, random_weights(rng, NANO, sincos_table))
    forms = {"plain": [], "any": ["--dynamic-size"], "half": ["--fp16"], "all": ["--dynamic-size", "--fp16", "--pool", "none"]}
    paths, wrong = [], 0
    for name, flags in forms.items():
        for opset, ir in ((17, 8), (20, 9)):
            path = place / f"{name}-{opset}.onnx"
            mae("export-encoder", "--checkpoint", checkpoint, "-o", path, "--opset", opset, *flags)
            model = onnx.load(path)
            wrong += [(each.domain, each.version) for each in model.opset_import] != [("", opset)] or model.ir_version != ir
            paths.append(path)
    pixels = pixel_values(random_images(rng, 2, NANO["inputSize"]))
    earlier, current = (run(place / f"plain-{opset}.onnx", pixels, "features") for opset in (17, 20))
    table.report("opsets", "onnx.checker: files that fail", failures(paths))
    table.report("opsets", "opsets and versions of the format that differ", wrong)
    table.report("opsets", "opset 17 against 20", most(earlier, current))


def main(rows, folder):
    torch.set_num_threads(1)
    table = Table("web export", rows)
    for label in CONFIGURATIONS:
        table.plan(label, ROWS)
    for label, planned in (("examples", EXAMPLE), ("any size", ANY_SIZE), ("opsets", OPSETS)):
        table.plan(label, planned)
    for index, (label, model) in enumerate(CONFIGURATIONS.items()):
        with table.measuring(label):
            place = folder / str(index)
            place.mkdir()
            found = judge_folder(table, label, model, np.random.default_rng(7100 + index), place)
            if index == 0:
                judge_example(table, *found)
    for seed, (label, judge) in enumerate((("any size", judge_any_size), ("opsets", judge_opsets)), 7200):
        with table.measuring(label):
            place = folder / label.replace(" ", "-")
            place.mkdir()
            judge(table, np.random.default_rng(seed), place)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
