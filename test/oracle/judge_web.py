"""`mae export --format web` and `mae export-encoder`, opened by transformers, onnx and ONNX Runtime.

`AutoModel` and `AutoImageProcessor` read the folder unmasked. ONNX Runtime's own quantize_dynamic says what 8 bits cost. For
pictures of any size transformers' `interpolate_pos_encoding` is the judge. examples/features.py runs in this environment.
"""

import json
import os
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
from shared import NANO, PATCH14, ROOT, mae, pixel_values, random_images, random_weights, save_checkpoint
from table import Table
from transformers import AutoImageProcessor, AutoModel, ViTForImageClassification

CONFIGURATIONS = {"nano": NANO, "patch 14": PATCH14}
IMAGES = 3
BOUND = 1e-4  # of the largest difference
ROWS = {
    "weights missing, left over or of another shape": 0,
    "AutoImageProcessor, AutoModel: mean of the patch tokens": BOUND,
    "AutoImageProcessor, AutoModel: all tokens": BOUND,
    "AutoModel: pooler_output, the class token": BOUND,
    "ViTForImageClassification: weights missing beside its head": 0,
    "pictures of twice the size, Pillow: mean of the patch tokens": BOUND,
    "onnxruntime: model.onnx, pooler_output": BOUND,
    "onnxruntime: model_fp16.onnx, 1 - cosine": 1e-5,
    "onnxruntime: model_quantized.onnx, 1 - cosine": 1e-3,
    "times the error of quantize_dynamic, by channel": 1.5,
    "onnx.checker: models that fail": 0,
}
EXAMPLE = {"examples/features.py": BOUND}
SIZES = {"as stored": (8, 8), "smaller, not square": (5, 9), "larger": (11, 10)}  # patches of nano
ANY_SIZE = {f"bicubic against transformers, {name}": BOUND for name in SIZES}
OLD = "1.15.1"  # the oldest with packages for the oracle's Python; it reads opsets up to 19
OLD_ROWS = {"opset 17 against the current runtime": 1e-5, "float16 and any size, too": 1e-5, "opset 20 is read": 0}
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
    report("pictures of twice the size, Pillow: mean of the patch tokens", most(got, wanted))

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


def judge_old_runtime(table, place):
    """A runtime of before opset 20, in a process of its own, on files of `judge_opsets`."""
    label, packages = f"onnxruntime {OLD}", place / "packages"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(packages), f"onnxruntime=={OLD}"]
    found = subprocess.run(pip, capture_output=True, text=True)
    if found.returncode != 0:
        for what in OLD_ROWS:
            table.skip(label, what, f"no onnxruntime {OLD}: {found.stderr.strip().splitlines()[-1][:100]}")
        return
    table.plan(label, OLD_ROWS)
    pixels = pixel_values(random_images(np.random.default_rng(7300), 2, NANO["inputSize"]))
    np.save(place / "pixels.npy", pixels.astype(np.float32))
    script = """
import sys, numpy, onnxruntime
assert onnxruntime.__version__ == sys.argv[1], onnxruntime.__version__
session = onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
numpy.save(sys.argv[4], session.run(None, {"pixel_values": numpy.load(sys.argv[3])})[0])
"""

    def old(path):
        arguments = [OLD, path, place / "pixels.npy", place / "features.npy"]
        environment = os.environ | {"PYTHONPATH": str(packages)}
        command = [sys.executable, "-c", script, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        return np.load(place / "features.npy") if done.returncode == 0 else done.stderr

    with table.measuring(label):
        for name, output, what in (("plain", "features", 0), ("all", "last_hidden_state", 1)):
            path = place / f"{name}-17.onnx"
            table.report(label, list(OLD_ROWS)[what], most(old(path), run(path, pixels, output)))
        table.report(label, "opset 20 is read", isinstance(old(place / "plain-20.onnx"), np.ndarray))


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
    judge_old_runtime(table, folder / "opsets")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
