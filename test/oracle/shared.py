"""What the judges share: our scripts, models and their sizes, weights, images, names, errors."""

import json
import math
import subprocess
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent

MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])
FLAT_COLOUR = (124, 116, 104)  # nearly MEAN: a patch of it has variance 3e-5, so that the 1e-6 of norm_pix_loss shows


def preset(name):
    return json.loads((ROOT / "models" / f"{name}.json").read_text())


NANO, TINY, BASE = (preset(f"mae_vit_{name}") for name in ("nano_patch8_64", "tiny_patch16", "base_patch16"))
# the grid, the patches and the head width of mae_vit_huge_patch14, with few and narrow blocks
PATCH14 = preset("mae_vit_huge_patch14") | {
    "embedDim": 160, "depth": 3, "numHeads": 2, "decoderEmbedDim": 64, "decoderDepth": 2, "decoderNumHeads": 2,
}


def start(script, folder, job):
    """Starts one of our scripts on a job; `finish` waits for it."""
    path = folder / f"{Path(script).stem}.json"
    path.write_text(json.dumps(job))
    return subprocess.Popen(["node", str(HERE / script), str(path)], cwd=ROOT)


def finish(process):
    if process.wait() != 0:
        raise RuntimeError(f"{' '.join(map(str, process.args))}: exit code {process.returncode}")


def ours(script, folder, job):
    finish(start(script, folder, job))


def mae(*arguments):
    """Runs the command line."""
    subprocess.run(["node", str(ROOT / "bin" / "mae.js"), *map(str, arguments)], check=True, cwd=ROOT)


def save_checkpoint(path, model, weights):
    """A model.safetensors as a run of mae saves it."""
    save_file(weights, path, {
        "format": "mae", "model": json.dumps(model), "mask_ratio": "0.75", "norm_pix_loss": "true", "step": "0",
    })


def grid(model):
    return model["inputSize"] // model["patchSize"]


def parameter_shapes(model):
    """Every parameter by its published name, in no particular order."""
    width, decoder_width, patch = model["embedDim"], model["decoderEmbedDim"], model["patchSize"]
    tokens = 1 + grid(model) ** 2
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, tokens, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
        "mask_token": (1, 1, decoder_width),
        "decoder_pos_embed": (1, tokens, decoder_width),
    }

    def linear(name, fan_in, fan_out):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (fan_out, fan_in), (fan_out,)

    def norm(name, size):
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (size,)

    for blocks, size, depth in [
        ("blocks", width, model["depth"]),
        ("decoder_blocks", decoder_width, model["decoderDepth"]),
    ]:
        hidden = int(size * model["mlpRatio"])
        for n in range(depth):
            norm(f"{blocks}.{n}.norm1", size)
            linear(f"{blocks}.{n}.attn.qkv", size, 3 * size)
            linear(f"{blocks}.{n}.attn.proj", size, size)
            norm(f"{blocks}.{n}.norm2", size)
            linear(f"{blocks}.{n}.mlp.fc1", size, hidden)
            linear(f"{blocks}.{n}.mlp.fc2", hidden, size)
    norm("norm", width)
    linear("decoder_embed", width, decoder_width)
    norm("decoder_norm", decoder_width)
    linear("decoder_pred", decoder_width, 3 * patch * patch)
    return shapes


def random_weights(rng, model, positions):
    """Nothing at a special value (0, 1, tiny), so that no gradient is right by accident; float32.

    `positions`: (width, grid) -> the fixed table [1 + grid², width].
    """
    weights = {}
    for name, shape in parameter_shapes(model).items():
        if name.endswith("pos_embed"):
            values = positions(shape[-1], grid(model))[None]
        elif name == "cls_token":
            values = 0.02 * rng.standard_normal(shape)  # small beside an epsilon that is not 1e-6, for its position is 0
        elif name == "mask_token":
            values = 0.5 * rng.standard_normal(shape)
        elif name.endswith("bias"):
            values = 0.1 * rng.standard_normal(shape)
        elif "norm" in name:
            values = 1 + 0.2 * rng.standard_normal(shape)
        else:
            values = rng.standard_normal(shape) / math.sqrt(np.prod(shape[1:]))
        weights[name] = np.ascontiguousarray(values, dtype=np.float32)
    return weights


def random_images(rng, count, size):
    """uint8 [count, size, size, 3]: a few slow waves and noise; in a corner a patch of one colour."""
    images = np.empty((count, size, size, 3), np.uint8)
    axis = np.arange(size) / size
    for image in images:
        for channel in range(3):
            waves = 12 * rng.standard_normal((size, size))
            for fy, fx, phase in rng.uniform(-2, 2, (3, 3)):
                waves += 35 * np.sin(2 * np.pi * (fy * axis[:, None] + fx * axis + phase))
            image[..., channel] = np.clip(np.rint(127 + waves), 0, 255)
    images[:, : size // 8, : size // 8] = FLAT_COLOUR
    return images


def random_shuffle(rng, count, patches):
    """int64 [count, patches]"""
    return np.argsort(rng.random((count, patches)), axis=1)


def pixel_values(images):
    """uint8 [B, H, W, 3] -> float64 [B, 3, H, W], normalised."""
    return ((images / 255 - MEAN) / STD).transpose(0, 3, 1, 2)


def relative(got, wanted):
    """‖got − wanted‖ / ‖wanted‖ in float64; NaN where something was not computed."""
    got, wanted = np.asarray(got, np.float64), np.asarray(wanted, np.float64)
    if got.shape != wanted.shape:
        raise ValueError(f"expected a tensor of {wanted.shape}, got {got.shape}")
    return np.linalg.norm(got - wanted) / np.linalg.norm(wanted)


def worst(errors):
    """The name and error of the worst tensor; a NaN is worse than anything."""
    return max(errors.items(), key=lambda item: math.inf if math.isnan(item[1]) else item[1])


def without_keys(name, tensor):
    """The queries' and values' thirds of a fused qkv bias; any other tensor as it is."""
    if not name.endswith("qkv.bias"):
        return tensor
    queries, _, values = np.split(tensor, 3)
    return np.concatenate([queries, values])


def keys(tensor):
    """The keys' third of a fused qkv bias."""
    return np.split(tensor, 3)[1]


def ks_distance(a, b):
    """The largest distance between the distribution functions of two samples (Kolmogorov–Smirnov)."""
    a, b = np.sort(np.ravel(a)), np.sort(np.ravel(b))
    points = np.concatenate([a, b])
    return np.abs(
        np.searchsorted(a, points, side="right") / a.size - np.searchsorted(b, points, side="right") / b.size
    ).max()


def ks_limit(first, second, chance=1e-6):
    """The distance that two samples of one distribution exceed with this probability (Smirnov, 1948)."""
    return math.sqrt(-math.log(chance / 2) / 2) * math.sqrt(1 / first + 1 / second)
