"""One training step of transformers' ViTMAEForPreTraining on PyTorch, timed: the peer of `mae bench step`.

    python test/bench/pytorch-step.py --model mae_vit_base_patch16 --batch-size 8 --steps 10 [--precision bf16]

Prints one line of JSON with the keys of `mae bench step --json`. The step is what a training script does: forward,
backward, fused AdamW with the paper's two groups, the loss read back. Images are drawn once and stay in memory, so
no data loading is in it.
"""

import argparse
import json
import platform
import resource
import statistics
import time
from pathlib import Path

import torch
import transformers
from transformers import ViTMAEConfig, ViTMAEForPreTraining

PRESETS = Path(__file__).parents[2] / "models"


def config_of(preset):
    return ViTMAEConfig(
        image_size=preset["inputSize"],
        patch_size=preset["patchSize"],
        hidden_size=preset["embedDim"],
        num_hidden_layers=preset["depth"],
        num_attention_heads=preset["numHeads"],
        intermediate_size=round(preset["embedDim"] * preset["mlpRatio"]),
        decoder_hidden_size=preset["decoderEmbedDim"],
        decoder_num_hidden_layers=preset["decoderDepth"],
        decoder_num_attention_heads=preset["decoderNumHeads"],
        decoder_intermediate_size=round(preset["decoderEmbedDim"] * preset["mlpRatio"]),
        norm_pix_loss=True,
        mask_ratio=0.75,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mae_vit_base_patch16")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup-steps", type=int, default=2)
    parser.add_argument("--threads", type=int, default=0, help="0: PyTorch's own choice")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    config = config_of(json.loads((PRESETS / f"{arguments.model}.json").read_text()))
    model = ViTMAEForPreTraining(config).train()
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    others = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.05}, {"params": others, "weight_decay": 0.0}],
        lr=1e-4,
        betas=(0.9, 0.95),
        fused=True,
    )
    images = torch.randn(arguments.batch_size, 3, config.image_size, config.image_size)
    seconds, optimizer_seconds = [], []
    for step in range(arguments.warmup_steps + arguments.steps):
        start = time.perf_counter()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=arguments.precision == "bf16"):
            loss = model(pixel_values=images).loss
        loss.backward()
        before = time.perf_counter()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
        end = time.perf_counter()
        if step >= arguments.warmup_steps:
            seconds.append(end - start)
            optimizer_seconds.append(end - before)
    median = statistics.median(seconds)
    print(
        json.dumps(
            {
                "peer": f"transformers {transformers.__version__}, torch {torch.__version__}",
                "python": platform.python_version(),
                "model": arguments.model,
                "batch_size": arguments.batch_size,
                "precision": arguments.precision,
                "threads": torch.get_num_threads(),
                "median_step_seconds": median,
                "min_step_seconds": min(seconds),
                "images_per_second": arguments.batch_size / median,
                "median_optimizer_seconds": statistics.median(optimizer_seconds),
                "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            }
        )
    )


if __name__ == "__main__":
    main()
