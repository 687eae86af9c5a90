"""The loss of a model that predicts some of the removed patches, by transformers' modules."""

import torch


def loss_of_some(model, pixels, noise, predicted):
    """The loss where the decoder gets and predicts only some of the removed patches, those next in the shuffle.

    transformers' modules with every token in the order of the image: hooks take the other tokens out before the
    first decoder block and leave zeros for their predictions.
    """
    ids_shuffle = torch.argsort(noise, dim=1)
    batch, patches = ids_shuffle.shape
    kept = int(patches * (1 - model.config.mask_ratio))
    present = torch.zeros(batch, patches, dtype=torch.bool)
    wanted = torch.zeros(batch, patches, dtype=torch.bool)
    present.scatter_(1, ids_shuffle[:, : kept + predicted], True)
    wanted.scatter_(1, ids_shuffle[:, kept : kept + predicted], True)
    tokens = torch.cat([torch.ones(batch, 1, dtype=torch.bool), present], dim=1)  # cls stays

    def drop(_, inputs):
        return (inputs[0][tokens].view(batch, 1 + kept + predicted, -1), *inputs[1:])

    def put_back(_, __, output):
        whole = output.new_zeros(batch, 1 + patches, output.shape[-1])
        whole[tokens] = output.reshape(-1, output.shape[-1])
        return whole

    hooks = [
        model.decoder.decoder_layers[0].register_forward_pre_hook(drop),
        model.decoder.decoder_pred.register_forward_hook(put_back),
    ]
    logits = model(pixels, noise=noise).logits
    for hook in hooks:
        hook.remove()
    target = model.patchify(pixels)
    if model.config.norm_pix_loss:
        target = (target - target.mean(-1, keepdim=True)) / (target.var(-1, keepdim=True) + 1e-6) ** 0.5
    return ((logits - target) ** 2)[wanted].mean()
