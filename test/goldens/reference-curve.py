"""The loss curve that `mae` should follow: transformers' ViTMAE at the nano preset, trained in plain PyTorch.

    python reference-curve.py <folder of class folders> [epochs] [threads]

Prints the mean training loss of every epoch. Not run by the tests; README.md has one run's output.
"""

import math
import sys
import time

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from transformers import ViTMAEConfig, ViTMAEForPreTraining
from transformers.models.vit_mae.modeling_vit_mae import ViTMAEEmbeddings

SEED = 0
BATCH, WARMUP_EPOCHS, LR, MIN_LR, WEIGHT_DECAY = 128, 4, 1e-3, 0.0, 0.05


def sincos_table(dim, grid):
    """[1 + grid², dim] float32 by transformers' code: zeros for cls, first half from x (column).

    Asked of the module, since ViTMAEModel(config) of 5.23 marks its children as initialised and skips the table.
    """
    module = ViTMAEEmbeddings(ViTMAEConfig(image_size=grid, patch_size=1, hidden_size=dim))
    module.initialize_weights()
    assert module.position_embeddings.any()
    return module.position_embeddings.detach()[0]


def nano():
    """192 wide, 6 blocks, 3 heads; decoder 96, 2, 3; 64×64 in patches of 8; initialised as the published code does."""
    model = ViTMAEForPreTraining(ViTMAEConfig(
        image_size=64, patch_size=8, mask_ratio=0.75, norm_pix_loss=True, layer_norm_eps=1e-6,
        hidden_size=192, num_hidden_layers=6, num_attention_heads=3, intermediate_size=4 * 192,
        decoder_hidden_size=96, decoder_num_hidden_layers=2, decoder_num_attention_heads=3,
        decoder_intermediate_size=4 * 96,
    ))
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight.view(module.weight.shape[0], -1))
                # the published code leaves this bias at Conv2d's default
                fan_in = module.weight[0].numel()
                nn.init.uniform_(module.bias, -1 / math.sqrt(fan_in), 1 / math.sqrt(fan_in))
            elif isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)
        for name, parameter in model.named_parameters():
            # queries, keys and values are one [3D, D] matrix there, with that matrix's fan-out
            if name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight")):
                bound = math.sqrt(6 / (4 * parameter.shape[1]))
                nn.init.uniform_(parameter, -bound, bound)
        nn.init.normal_(model.vit.embeddings.cls_token, std=0.02)
        nn.init.normal_(model.decoder.mask_token, std=0.02)
        # a fresh model of transformers 5.23 has zeros in both
        model.vit.embeddings.position_embeddings.copy_(sincos_table(192, 8))
        model.decoder.decoder_pos_embed.copy_(sincos_table(96, 8))
    return model


def learning_rate(epoch, epochs):
    """`epoch` is fractional."""
    if epoch < WARMUP_EPOCHS:
        return LR * epoch / WARMUP_EPOCHS
    progress = (epoch - WARMUP_EPOCHS) / (epochs - WARMUP_EPOCHS)
    return MIN_LR + (LR - MIN_LR) * 0.5 * (1 + math.cos(math.pi * progress))


def main(folder, epochs=40, threads=1):
    torch.set_num_threads(threads)
    torch.manual_seed(SEED)
    images = datasets.ImageFolder(folder, transforms.Compose([
        transforms.RandomResizedCrop(64, scale=(0.2, 1.0), interpolation=transforms.InterpolationMode.BICUBIC),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ]))
    loader = DataLoader(images, BATCH, shuffle=True, drop_last=True)
    model = nano().train()
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in trainable if p.ndim > 1], "weight_decay": WEIGHT_DECAY},
            {"params": [p for p in trainable if p.ndim == 1], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.95),
    )
    print(f"{len(images)} images, {len(loader)} steps an epoch, {sum(p.numel() for p in trainable)} parameters, "
          f"seed {SEED}", flush=True)
    started = time.time()
    for epoch in range(epochs):
        losses = []
        for step, (pixels, _) in enumerate(loader):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(epoch + step / len(loader), epochs)
            loss = model(pixels).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1:3d}  loss {sum(losses) / len(losses):.4f}  {time.time() - started:6.1f} s", flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], *map(int, sys.argv[2:]))
