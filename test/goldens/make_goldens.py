"""Make the golden files beside this script from other people's code: torch, transformers, Python's math.

    python make_goldens.py

Takes nothing, writes beside itself, and gives the same bytes each time. Inputs are drawn by numpy, are exactly
representable in float32 and are stored; results come from a float64 run and are rounded to float32 once, unless
a name says otherwise. README.md says what each file holds.
"""

import json
import math
import re
import sys
from itertools import product
from pathlib import Path

import numpy as np
import safetensors
import torch
import transformers
from safetensors.numpy import save
from predicted_loss import loss_of_some
from transformers import ViTMAEConfig, ViTMAEForPreTraining
from transformers.models.vit_mae.modeling_vit_mae import ViTMAEEmbeddings

HERE = Path(__file__).resolve().parent
SEEDS = {"mae-small": 101, "mae-small-plain": 102, "adamw": 201, "rules": 301}

MEAN = [0.485, 0.456, 0.406]
STD = [0.229, 0.224, 0.225]
FLAT_COLOUR = [124, 116, 104]  # nearly MEAN: a patch of it has variance 3e-5, so the 1e-6 of norm_pix_loss shows


def write_json(name, value):
    def on_one_line(match):
        return "[" + ", ".join(line.strip().rstrip(",") for line in match[0][1:-1].strip().splitlines()) + "]"

    text = re.sub(r"\[[^\[\]{}]*\]", on_one_line, json.dumps(value, indent=1))
    (HERE / name).write_text(text + "\n")


def write_tensors(name, tensors):
    """Written without metadata, to whose entries safetensors gives no fixed order."""
    (HERE / name).write_bytes(save({key: np.array(value, order="C") for key, value in tensors.items()}))


def f32(tensor):
    return tensor.detach().numpy().astype(np.float32)


# ---- A. a whole MAE: loss, prediction and every gradient ------------------------------------------------------


def sincos_table(dim, grid):
    """[1 + grid², dim] float32 by transformers' code: zeros for cls, first half from x (column).

    Asked of the module, since ViTMAEModel(config) of 5.23 marks its children as initialised and skips the table.
    """
    module = ViTMAEEmbeddings(ViTMAEConfig(image_size=grid, patch_size=1, hidden_size=dim))
    module.initialize_weights()
    assert module.position_embeddings.any()
    return module.position_embeddings.detach()[0]


def published_names(parameters, config):
    """transformers' names -> the names and fused shapes of the paper's published code."""
    named = {
        "cls_token": parameters["vit.embeddings.cls_token"],
        "pos_embed": parameters["vit.embeddings.position_embeddings"],
        "patch_embed.proj.weight": parameters["vit.embeddings.patch_embeddings.projection.weight"],  # [D, 3, p, p]
        "patch_embed.proj.bias": parameters["vit.embeddings.patch_embeddings.projection.bias"],
        "mask_token": parameters["decoder.mask_token"],
        "decoder_pos_embed": parameters["decoder.decoder_pos_embed"],
    }
    modules = {
        "norm": "vit.layernorm",
        "decoder_embed": "decoder.decoder_embed",
        "decoder_norm": "decoder.decoder_norm",
        "decoder_pred": "decoder.decoder_pred",
    }
    for ours, theirs, depth in [
        ("blocks", "vit.layers", config.num_hidden_layers),
        ("decoder_blocks", "decoder.decoder_layers", config.decoder_num_hidden_layers),
    ]:
        for n in range(depth):
            modules |= {
                f"{ours}.{n}.norm1": f"{theirs}.{n}.layernorm_before",
                f"{ours}.{n}.attn.proj": f"{theirs}.{n}.attention.o_proj",
                f"{ours}.{n}.norm2": f"{theirs}.{n}.layernorm_after",
                f"{ours}.{n}.mlp.fc1": f"{theirs}.{n}.mlp.fc1",
                f"{ours}.{n}.mlp.fc2": f"{theirs}.{n}.mlp.fc2",
            }
            for kind in ("weight", "bias"):  # [3D, D] and [3D]: queries, keys, values
                parts = [parameters[f"{theirs}.{n}.attention.{part}_proj.{kind}"] for part in "qkv"]
                named[f"{ours}.{n}.attn.qkv.{kind}"] = torch.cat(parts)
    for ours, theirs in modules.items():
        for kind in ("weight", "bias"):
            named[f"{ours}.{kind}"] = parameters[f"{theirs}.{kind}"]
    assert sum(t.numel() for t in named.values()) == sum(t.numel() for t in parameters.values())
    return named


def random_parameter(rng, name, shape):
    """Nothing at a special value (0, 1, tiny), so that no gradient is right by accident."""
    if name.endswith(("cls_token", "mask_token")):
        return 0.5 * rng.standard_normal(shape)
    if name.endswith("bias"):
        return 0.1 * rng.standard_normal(shape)
    if "norm" in name:
        return 1 + 0.2 * rng.standard_normal(shape)
    return rng.standard_normal(shape) / math.sqrt(np.prod(shape[1:]))


def random_images(rng, batch, size):
    """uint8 [B, H, W, 3]: a few slow waves and noise."""
    y, x = np.mgrid[0:size, 0:size] / size
    waves = np.zeros((batch, size, size, 3))
    for b, c, _ in product(range(batch), range(3), range(3)):
        fx, fy, phase = rng.uniform(-2, 2), rng.uniform(-2, 2), rng.uniform(0, 2 * np.pi)
        waves[b, :, :, c] += 35 * np.sin(2 * np.pi * (fx * x + fy * y) + phase)
    return np.clip(np.rint(127 + waves + 12 * rng.standard_normal(waves.shape)), 0, 255).astype(np.uint8)


def make_mae(file, *, image_size, patch_size, mask_ratio, norm_pix_loss, predicted, batch=3):
    rng = np.random.default_rng(SEEDS[file])
    config = ViTMAEConfig(
        image_size=image_size, patch_size=patch_size, mask_ratio=mask_ratio, norm_pix_loss=norm_pix_loss,
        hidden_size=48, num_hidden_layers=2, num_attention_heads=3, intermediate_size=4 * 48,
        decoder_hidden_size=32, decoder_num_hidden_layers=2, decoder_num_attention_heads=4,
        decoder_intermediate_size=4 * 32, hidden_act="gelu", qkv_bias=True, layer_norm_eps=1e-6,
        attn_implementation="sdpa",  # the eager attention takes its softmax in float32 whatever the model is
    )
    model = ViTMAEForPreTraining(config).eval()
    grid = image_size // patch_size
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.from_numpy(random_parameter(rng, name, tuple(parameter.shape))))
        # a fresh model of transformers 5.23 has zeros in both
        model.vit.embeddings.position_embeddings.copy_(sincos_table(config.hidden_size, grid))
        model.decoder.decoder_pos_embed.copy_(sincos_table(config.decoder_hidden_size, grid))

    patches = grid * grid
    noise = torch.from_numpy(rng.random((batch, patches)))
    ids_shuffle = torch.argsort(noise, dim=1)
    images = random_images(rng, batch, image_size)
    row, column = divmod(int(ids_shuffle[0, -1]), grid)  # a removed patch
    images[0, row * patch_size : (row + 1) * patch_size, column * patch_size : (column + 1) * patch_size] = FLAT_COLOUR
    pixels = torch.from_numpy((images / 255 - np.array(MEAN)) / np.array(STD)).permute(0, 3, 1, 2)

    def run(dtype):
        model.to(dtype).zero_grad()
        latent = model.vit(pixels.to(dtype), noise=noise).last_hidden_state
        out = model(pixels.to(dtype), noise=noise)
        out.loss.backward()
        parameters = dict(model.named_parameters())
        grads = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in parameters.items()}
        tensors = {"loss": out.loss, "pred": out.logits, "mask": out.mask, "latent": latent}
        tensors |= published_names({n: p.detach().clone() for n, p in parameters.items()}, config)
        tensors |= {
            f"{n}_grad": g for n, g in published_names(grads, config).items() if not n.endswith("pos_embed")
        }
        return tensors

    def run_some():
        model.double().zero_grad()
        loss = loss_of_some(model, pixels, noise, predicted)
        loss.backward()
        grads = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in model.named_parameters()}
        named = published_names(grads, config).items()
        return loss, {f"{n}_grad": f32(g) for n, g in named if not n.endswith("pos_embed")}

    single, double = run(torch.float32), run(torch.float64)
    assert double["loss"].dtype == double["blocks.0.attn.qkv.weight_grad"].dtype == torch.float64
    assert all(torch.equal(single[n], double[n].float()) for n in double if f"{n}_grad" in double)
    worst = max((single[n] - double[n]).abs().max() / double[n].abs().max() for n in double if n.endswith("_grad"))
    print(f"{file}: loss {double['loss']:.8f}, float32 run off by {abs(single['loss'] - double['loss']):.1e};"
          f" gradients by at most {worst:.1e} of a tensor's largest")

    write_tensors(f"{file}.safetensors", {"images": images, "ids_shuffle": ids_shuffle.numpy()}
                  | {n: f32(t) for n, t in double.items()})
    write_json(f"{file}.json", {
        "seed": SEEDS[file], "batch": batch, "imageSize": image_size, "patchSize": patch_size,
        "width": config.hidden_size, "depth": config.num_hidden_layers, "heads": config.num_attention_heads,
        "decoderWidth": config.decoder_hidden_size, "decoderDepth": config.decoder_num_hidden_layers,
        "decoderHeads": config.decoder_num_attention_heads, "mlpRatio": 4, "layerNormEps": config.layer_norm_eps,
        "maskRatio": mask_ratio, "normPixLoss": norm_pix_loss, "mean": MEAN, "std": STD,
        "patches": patches, "kept": int(patches * (1 - mask_ratio)), "loss": double["loss"].item(),
    })
    whole = loss_of_some(model.double(), pixels, noise, patches - int(patches * (1 - mask_ratio)))
    assert abs(whole / double["loss"] - 1) < 1e-12, "all of the removed patches: transformers' own loss"
    loss, gradients = run_some()
    write_tensors(f"{file}-predicted.safetensors", gradients)
    write_json(f"{file}-predicted.json", {"predicted": predicted, "loss": loss.item()})


# ---- B. ten steps of AdamW ------------------------------------------------------------------------------------

ADAMW = {"betas": [0.9, 0.95], "eps": 1e-8, "weightDecay": 0.05, "maxNorm": 1.0}
ADAMW_LR = [1e-4, 2.5e-4, 5e-4, 1e-3, 3e-3, 1e-2, 7e-3, 2e-3, 0.0, 5e-4]
ADAMW_GRAD_SCALE = [1e-10, 0.03, 1.0, 0.1, 0.5, 1e3, 1e-10, 0.05, 2.0, 0.3]  # the first is far below eps
ADAMW_SHAPES = {"decayed": (7, 5), "not_decayed": (11,)}


def make_adamw():
    rng = np.random.default_rng(SEEDS["adamw"])
    initial = {n: rng.standard_normal(shape).astype(np.float32) for n, shape in ADAMW_SHAPES.items()}
    grads = {
        n: np.stack([scale * rng.standard_normal(shape) for scale in ADAMW_GRAD_SCALE]).astype(np.float32)
        for n, shape in ADAMW_SHAPES.items()
    }
    for n in grads:
        grads[n][:, ..., 0] = 0  # an element that never has a gradient: only decay moves it
    tensors = {f"{n}_initial": t for n, t in initial.items()} | {f"{n}_grads": t for n, t in grads.items()}
    for variant, clip in (("plain", False), ("clipped", True)):
        for precision, dtype in (("f32", torch.float32), ("f64", torch.float64)):
            parameters = {n: torch.nn.Parameter(torch.from_numpy(t.copy()).to(dtype)) for n, t in initial.items()}
            optimizer = torch.optim.AdamW(
                [
                    {"params": [parameters["decayed"]], "weight_decay": ADAMW["weightDecay"]},
                    {"params": [parameters["not_decayed"]], "weight_decay": 0.0},
                ],
                betas=tuple(ADAMW["betas"]), eps=ADAMW["eps"], foreach=False, fused=False,
            )
            history = {}
            for step, lr in enumerate(ADAMW_LR):
                for group in optimizer.param_groups:
                    group["lr"] = lr
                for n, parameter in parameters.items():
                    parameter.grad = torch.from_numpy(grads[n][step].copy()).to(dtype)
                if clip:
                    total = torch.nn.utils.clip_grad_norm_(list(parameters.values()), ADAMW["maxNorm"])
                    history.setdefault("total_norm", []).append(f32(total))
                optimizer.step()
                for n, parameter in parameters.items():
                    state = optimizer.state[parameter]
                    history.setdefault(n, []).append(f32(parameter))
                    history.setdefault(f"{n}_exp_avg", []).append(f32(state["exp_avg"]))
                    history.setdefault(f"{n}_exp_avg_sq", []).append(f32(state["exp_avg_sq"]))
            tensors |= {f"{variant}.{precision}.{n}": np.stack(steps) for n, steps in history.items()}
    write_tensors("adamw.safetensors", tensors)
    write_json("adamw.json", {"seed": SEEDS["adamw"]} | ADAMW | {"steps": len(ADAMW_LR), "lr": ADAMW_LR})


# ---- C. one operator at a time --------------------------------------------------------------------------------


class Rules:
    """Collects cases: the inputs, `run` in float64 under autograd, one random dy per output that is used."""

    def __init__(self):
        self.rng = np.random.default_rng(SEEDS["rules"])
        self.cases, self.tensors = [], {}

    def draw(self, shape, kind="normal"):
        x = self.rng.standard_normal(shape)
        if kind == "positive":
            x = 0.3 + np.abs(x)
        elif kind == "nonzero":
            x = np.copysign(0.4 + np.abs(x), x)
        elif kind == "wide":
            x = 2 * x
        return np.asarray(x, dtype=np.float32)

    def add(self, op, run, inputs, attributes=None, unused=()):
        """`inputs`: float32 arrays are differentiated, lists are constant int64 tensors, other arrays are data."""
        attributes = attributes or {}
        index = sum(case["op"] == op for case in self.cases)
        name = f"{op}.{index}"
        names, types, constants, leaves = [], [], [], []
        for i, x in enumerate(inputs):
            constants.append(x if isinstance(x, list) else None)
            x = np.array(x, dtype=np.int64) if isinstance(x, list) else x
            names.append(None if x is None else f"{name}.input{i}")
            types.append(None if x is None else str(x.dtype))
            is_float = x is not None and x.dtype == np.float32
            leaf = None if x is None else torch.from_numpy(np.array(x)).to(torch.float64 if is_float else None)
            leaves.append(leaf.requires_grad_() if is_float else leaf)
            if x is not None:
                self.tensors[names[i]] = x.astype(np.uint8) if x.dtype == bool else x
        results = run(*leaves)
        results = results if isinstance(results, tuple) else (results,)
        outputs, dys, pairs = [], [], []
        for i, y in enumerate(results):
            outputs.append(f"{name}.output{i}")
            self.tensors[outputs[i]] = f32(y)
            dys.append(None if i in unused else f"{name}.dy{i}")
            if i not in unused:
                self.tensors[dys[i]] = self.draw(tuple(y.shape))
                pairs.append((y, torch.from_numpy(self.tensors[dys[i]]).double()))
        torch.autograd.backward(*zip(*pairs))
        gradients = []
        for i, leaf in enumerate(leaves):
            wanted = leaf is not None and leaf.requires_grad
            gradients.append(f"{name}.gradient{i}" if wanted else None)
            if wanted:
                self.tensors[gradients[i]] = f32(leaf.grad)
        shapes = [None if n is None else list(self.tensors[n].shape) for n in names]
        self.cases.append({
            "name": name, "op": op, "attributes": attributes, "inputs": names, "inputTypes": types,
            "inputShapes": shapes, "constants": constants, "outputs": outputs,
            "outputShapes": [list(y.shape) for y in results], "dy": dys, "gradients": gradients,
        })


def layer_norm(epsilon):
    def run(x, scale, bias):
        y = torch.nn.functional.layer_norm(x, x.shape[-1:], scale, bias, epsilon)
        mean = x.mean(-1, keepdim=True)
        return y, mean, 1 / torch.sqrt(x.var(-1, correction=0, keepdim=True) + epsilon)

    return run


def make_rules():
    rules = Rules()
    add, draw = rules.add, rules.draw

    broadcasts = [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (4,)), ((2, 1, 4), (3, 1)), ((3, 5), ()),
                  ((7,), (1, 3, 7)), ((1, 1), (5, 1))]
    for op, run in {"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div}.items():
        for a, b in broadcasts:
            add(op, run, [draw(a), draw(b, "nonzero" if op == "Div" else "normal")])

    unary = {
        "Neg": (torch.neg, "normal", {}),
        "Exp": (torch.exp, "normal", {}),
        "Log": (torch.log, "positive", {}),
        "Sqrt": (torch.sqrt, "positive", {}),
        "Reciprocal": (torch.reciprocal, "nonzero", {}),
        "Erf": (torch.erf, "wide", {}),
        "Gelu": (torch.nn.functional.gelu, "wide", {"approximate": "none"}),
        "Cast": (torch.clone, "normal", {"to": 1}),
    }
    for op, (run, kind, attributes) in unary.items():
        for shape in [(2, 3, 4), (1, 7), (5, 1, 3), ()]:
            add(op, run, [draw(shape, kind)], attributes)

    for a, b in [((3, 4), (4, 5)), ((1, 7), (7, 1)), ((5, 1), (1, 3)), ((2, 3, 4), (2, 4, 5)),
                 ((2, 3, 4, 5), (2, 3, 5, 6)), ((2, 3, 4, 5), (5, 6)), ((4, 5), (3, 5, 2)),
                 ((2, 1, 3, 4), (5, 4, 1))]:
        add("MatMul", torch.matmul, [draw(a), draw(b)])

    def gemm(alpha, trans_a, trans_b):
        def run(a, b, c=None):
            y = alpha * ((a.T if trans_a else a) @ (b.T if trans_b else b))
            return y if c is None else y + c

        return run

    for (m, n, k), trans_a, trans_b, bias, alpha in [
        *product([(3, 5, 4)], (0, 1), (0, 1), ("full", "row", None), (1.0, 0.5)),
        *product([(1, 7, 3), (7, 1, 1)], (0,), (0, 1), ("row", None), (1.0,)),
    ]:
        a, b = draw((k, m) if trans_a else (m, k)), draw((n, k) if trans_b else (k, n))
        c = {"full": [draw((m, n))], "row": [draw((n,))], None: []}[bias]
        add("Gemm", gemm(alpha, trans_a, trans_b), [a, b, *c],
            {"alpha": alpha, "beta": 1.0, "transA": trans_a, "transB": trans_b})

    for shape, to in [((2, 3, 4), [6, 4]), ((2, 3, 4), [24]), ((1, 5, 7), [7, 5, 1]), ((6,), [1, 2, 3, 1])]:
        add("Reshape", lambda x, s: x.reshape(s.tolist()), [draw(shape), to])

    for shape, perm in [((3, 5), [1, 0]), ((2, 3, 4), [0, 2, 1]), ((2, 3, 4), [2, 0, 1]), ((2, 3, 4), [1, 2, 0]),
                        ((2, 3, 1, 5), [0, 2, 1, 3]), ((2, 3, 4, 5), [2, 0, 3, 1]),
                        ((1, 2, 3, 2, 3, 1), [0, 2, 4, 3, 5, 1])]:
        add("Transpose", lambda x, perm=perm: x.permute(perm), [draw(shape)], {"perm": perm})

    def slice_(x, starts, ends, axes):
        for start, end, axis in zip(starts.tolist(), ends.tolist(), axes.tolist()):
            x = x.narrow(axis, start, end - start)
        return x

    for shape, starts, ends, axes in [
        ((5, 7), [1], [4], [0]),
        ((2, 9, 3), [4], [9], [1]),
        ((2, 9, 3), [0], [1], [1]),
        ((3, 1, 8), [1, 2], [3, 7], [0, 2]),
        ((4,), [0], [4], [0]),
    ]:
        add("Slice", slice_, [draw(shape), starts, ends, axes])

    for axis, shapes in [(0, [(2, 3), (1, 3), (4, 3)]), (1, [(2, 1, 3), (2, 4, 3), (2, 2, 3)]),
                         (2, [(1, 5, 2), (1, 5, 3), (1, 5, 1)]), (0, [(1,), (5,), (2,)])]:
        add("Concat", lambda *xs, axis=axis: torch.cat(xs, axis), [draw(s) for s in shapes], {"axis": axis})

    for shape, sizes, axis, unused in [
        ((7, 3), [2, 4, 1], 0, ()),
        ((2, 3, 9), [3, 3, 3], 2, ()),
        ((2, 3, 9), [1, 6, 2], 2, (1,)),
        ((5, 1), [1, 4], 0, (0,)),
        ((3, 8, 2), [1, 7], 1, ()),
    ]:
        add("Split", lambda x, s, axis=axis: x.split(s.tolist(), axis), [draw(shape), sizes], {"axis": axis}, unused)

    for shape, indices in [((7, 3), [[0, 6, 2, 2], [5, 0, 2, 1]]), ((5, 2, 3), [4, 4, 0]), ((6, 1), [[3], [1]]),
                           ((1, 4), [[0, 0, 0]])]:
        add("Gather", lambda x, i: x[i], [draw(shape), np.array(indices, dtype=np.int64)], {"axis": 0})

    for shape, to in [((3, 1), [2, 3, 4]), ((2, 1, 5), [2, 7, 5]), ((5,), [5]), ((1,), [3, 1, 2]), ((), [2, 3])]:
        add("Expand", lambda x, s: x.expand(s.tolist()), [draw(shape), to])

    def pad(x, pads):
        begins, ends = pads.view(2, -1).tolist()
        return torch.nn.functional.pad(x, [n for pair in zip(reversed(begins), reversed(ends)) for n in pair])

    for shape, pads in [((3, 5), [1, 0, 0, 2]), ((2, 1, 4), [0, 3, 0, 0, 1, 0]), ((4,), [2, 5]),
                        ((2, 3), [1, 2, 3, 4]), ((1, 7), [0, 0, 0, 0])]:
        add("Pad", pad, [draw(shape), pads], {"mode": "constant"})

    reductions = [((2, 3, 4), [2], 1), ((2, 3, 4), [-1], 0), ((2, 3, 4), [0, 2], 1), ((2, 3, 4), [0, 2], 0),
                  ((2, 3, 4), [1], 0), ((5, 1, 7), [1], 0), ((5, 1, 7), [0, 1], 1), ((3, 5), [0, 1], 0),
                  ((3, 5), [0, 1], 1)]
    for op, reduce in {"ReduceSum": torch.sum, "ReduceMean": torch.mean}.items():
        for shape, axes, keep in reductions:
            add(op, lambda x, a, reduce=reduce, keep=keep: reduce(x, a.tolist(), keepdim=bool(keep)),
                [draw(shape), axes], {"keepdims": keep, "noop_with_empty_axes": 0})

    for shape in [(3, 5), (2, 3, 7), (2, 1, 3, 4), (4, 1)]:
        add("Softmax", lambda x: torch.softmax(x, -1), [draw(shape, "wide")], {"axis": -1})

    for shape, has_bias in [((2, 3, 8), True), ((5, 7), True), ((1, 1, 9), True), ((3, 2), True), ((2, 4, 5), False)]:
        scale, bias = 1 + 0.3 * draw(shape[-1:]), draw(shape[-1:]) if has_bias else None
        run = layer_norm(1e-6)
        add("LayerNormalization", run if has_bias else lambda x, s: run(x, s, None),
            [draw(shape), scale.astype(np.float32)] + ([bias] if has_bias else []),
            {"axis": -1, "epsilon": 1e-6, "stash_type": 1}, unused=(1, 2))

    for condition, a, b in [((2, 3, 4), (2, 3, 4), (2, 3, 4)), ((3, 1), (2, 3, 4), ()), ((2, 1, 4), (3, 1), (4,)),
                            ((1, 7), (1, 7), (5, 1))]:
        add("Where", torch.where, [rules.rng.random(condition) < 0.5, draw(a), draw(b)])

    write_tensors("rules.safetensors", rules.tensors)
    write_json("rules.json", {"seed": SEEDS["rules"], "opset": 20, "cases": rules.cases})
    print(f"rules: {len(rules.cases)} cases of {len({case['op'] for case in rules.cases})} operators")


# ---- D. the learning rate and the positions -------------------------------------------------------------------


def learning_rate(epoch, lr, min_lr, warmup_epochs, epochs):
    """`adjust_learning_rate` of the published code; `epoch` is fractional."""
    if epoch < warmup_epochs:
        return lr * epoch / warmup_epochs
    return min_lr + (lr - min_lr) * 0.5 * (1 + math.cos(math.pi * (epoch - warmup_epochs) / (epochs - warmup_epochs)))


def make_schedule():
    cases = []
    for lr, min_lr, warmup_epochs, epochs, steps_per_epoch in [
        (1e-3, 0.0, 4, 40, 7),
        (1.5e-4, 0.0, 40, 400, 1),
        (6e-4, 1e-5, 2, 10, 9),
        (1e-3, 0.0, 0, 5, 11),
        (2e-3, 1e-6, 1.5, 6, 8),
    ]:
        steps = range(epochs * steps_per_epoch)
        cases.append({
            "lr": lr, "minLr": min_lr, "warmupEpochs": warmup_epochs, "epochs": epochs,
            "stepsPerEpoch": steps_per_epoch,
            "perStep": [learning_rate(s / steps_per_epoch, lr, min_lr, warmup_epochs, epochs) for s in steps],
        })
    write_json("schedule.json", {"cases": cases})


def make_positions():
    tables = {f"{dim}x{grid}": sincos_table(dim, grid).numpy() for dim, grid in ((192, 8), (128, 14), (48, 4))}
    write_tensors("positions.safetensors", tables)


def main():
    torch.set_num_threads(1)
    torch.manual_seed(0)  # for transformers' own initialisation, all of which is overwritten
    make_mae("mae-small", image_size=32, patch_size=8, mask_ratio=0.75, norm_pix_loss=True, predicted=5)
    make_mae("mae-small-plain", image_size=42, patch_size=14, mask_ratio=0.5, norm_pix_loss=False, predicted=1)
    make_adamw()
    make_rules()
    make_schedule()
    make_positions()
    packages = {m.__name__: m.__version__ for m in (torch, transformers, np, safetensors)}
    write_json("versions.json", {"python": sys.version.split()[0], "packages": packages, "seeds": SEEDS})


if __name__ == "__main__":
    main()
