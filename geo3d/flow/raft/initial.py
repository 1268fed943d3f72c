"""First features of a training whose correlations say already, roughly, what is where.

Kernels of independent random numbers give features that change within a fraction of a cell, and rectified ones that
share a large mean: correlations are the same everywhere then, and a training begins with a long time in which nothing
is learned. Here the kernels are smoothed, and the last convolution is set from some images so that features have mean
zero and are white (data-dependent initialization, Krähenbühl et al., ICLR 2016). A match half a cell off is then found
by correlation alone in two of three cells of made-up pairs, and not in one of ten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geo3d.flow.raft.encoder import Encoder
from geo3d.util.require import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch")

_PASSES = {7: 2, 3: 1}  # of smoothing, by the side of a kernel
_FLOOR = 0.05  # of the largest deviation: directions of less are noise


@torch.no_grad()
def start_features(encoder: Encoder, images: Tensor) -> None:
    """Set the weights of a new encoder.

    Parameters
    ----------
    encoder : Encoder
        With random weights; changed in place.
    images : Tensor (N, 3, 8 H, 8 W)
        In [-1, 1].
    """
    for module in encoder.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.weight.copy_(smoothed(module.weight, _PASSES.get(module.kernel_size[0], 0)))
    before = encoder.trunk(images).movedim(1, 3).flatten(0, 2)  # (M, C)
    mean = before.mean(0)
    _, deviations, axes = torch.linalg.svd(before - mean, full_matrices=False)
    whitening = axes * (len(before) ** 0.5 / (deviations + _FLOOR * deviations[0]))[:, None]
    outputs, inputs = encoder.conv2.weight.shape[:2]
    turn = torch.linalg.qr(torch.randn(max(outputs, inputs), max(outputs, inputs)))[0][:outputs, :inputs]
    kernel = (outputs / inputs) ** 0.25 * turn @ whitening
    state = {"weight": kernel[:, :, None, None], "bias": -kernel @ mean}
    encoder.conv2.load_state_dict(state)


def smoothed(kernels: Tensor, passes: int) -> Tensor:
    """Kernels (O, I, H, W) after some `passes` of (1 2 1) / 4 along rows and columns, of the same deviation."""
    binomial = torch.tensor([0.25, 0.5, 0.25])
    blur = (binomial[:, None] * binomial)[None, None]
    smooth = kernels.flatten(0, 1)[:, None]
    for _ in range(passes):
        smooth = torch.nn.functional.conv2d(smooth, blur, padding=1)
    return smooth.reshape(kernels.shape) * (kernels.std() / smooth.std())
