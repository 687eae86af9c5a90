"""A Masked Autoencoder of timm's blocks, from the description in the paper (He et al., CVPR 2022): a peer to time."""

from functools import partial

import torch
from timm.models.vision_transformer import Block
from torch import nn


def patchify(images, p):
    """[B, 3, H, W] → [B, L, p²·3]"""
    b, c, h, w = images.shape
    x = images.reshape(b, c, h // p, p, w // p, p)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(b, (h // p) * (w // p), p * p * c)


def blocks(width, heads, depth, ratio):
    norm = partial(nn.LayerNorm, eps=1e-6)
    return nn.Sequential(*(Block(width, heads, ratio, qkv_bias=True, norm_layer=norm) for _ in range(depth)))


class MaskedAutoencoder(nn.Module):
    def __init__(self, preset, mask_ratio=0.75):
        super().__init__()
        width, self.patch = preset["embedDim"], preset["patchSize"]
        decoder, ratio = preset["decoderEmbedDim"], preset["mlpRatio"]
        patches, pixels = (preset["inputSize"] // self.patch) ** 2, self.patch**2 * 3
        self.kept = int(patches * (1 - mask_ratio))
        self.embed = nn.Linear(pixels, width)
        self.blocks = blocks(width, preset["numHeads"], preset["depth"], ratio)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.decoder_embed = nn.Linear(width, decoder)
        self.decoder_blocks = blocks(decoder, preset["decoderNumHeads"], preset["decoderDepth"], ratio)
        self.decoder_norm = nn.LayerNorm(decoder, eps=1e-6)
        self.decoder_pred = nn.Linear(decoder, pixels)
        self.cls_token = nn.Parameter(0.02 * torch.randn(1, 1, width))
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, 1, decoder))
        # fixed tables; which numbers they hold does not change what a step costs
        self.register_buffer("positions", 0.02 * torch.randn(1, patches, width))
        self.register_buffer("decoder_positions", 0.02 * torch.randn(1, 1 + patches, decoder))

    def forward(self, images):
        target = patchify(images, self.patch)
        b, patches, _ = target.shape
        restore = torch.rand(b, patches, device=images.device).argsort(1).argsort(1)
        order = restore.argsort(1)
        take = lambda x, ids: x.gather(1, ids[..., None].expand(-1, -1, x.shape[-1]))  # noqa: E731
        x = take(self.embed(target) + self.positions, order[:, : self.kept])
        x = torch.cat([self.cls_token.expand(b, -1, -1), x], 1)
        x = self.decoder_embed(self.norm(self.blocks(x)))
        hidden = self.mask_token.to(x.dtype).expand(b, patches - self.kept, -1)
        tokens = take(torch.cat([x[:, 1:], hidden], 1), restore)
        x = torch.cat([x[:, :1], tokens], 1) + self.decoder_positions
        prediction = self.decoder_pred(self.decoder_norm(self.decoder_blocks(x)))[:, 1:]
        mean, variance = target.mean(-1, keepdim=True), target.var(-1, keepdim=True)
        target = (target - mean) / (variance + 1e-6) ** 0.5
        loss = (prediction - target).square().mean(-1)
        mask = (restore >= self.kept).float()  # 0 is keep, 1 is remove
        return (loss * mask).sum() / mask.sum()
