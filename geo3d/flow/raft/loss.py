"""The loss that RAFT is trained with. Teed & Deng 2020, equation 7.

    L = sum_i gamma^(N - i) mean |f_i - truth|,  i = 1 .. N iterations

The mean is over both components and all pixels; those whose truth is not known or too long count as zero.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from geo3d.util.require import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch")


def sequence_loss(
    flows: list[Tensor], truth: Tensor, gamma: float = 0.8, longest_px: float = 400.0
) -> Tensor:
    """Loss of the flows of all iterations.

    Parameters
    ----------
    flows : list of Tensor (N, 2, H, W)
        First iteration first, pixels.
    truth : Tensor (N, 2, H, W)
        NaN where it is not known.
    gamma : float
        Weight of an iteration relative to the next.
    longest_px : float
        Truth that is longer does not count.

    Returns
    -------
    Tensor ()
    """
    length = torch.linalg.vector_norm(truth, dim=1, keepdim=True)
    counts = (length < longest_px).expand_as(truth)  # false for NaN
    truth = torch.where(counts, truth, 0.0)
    total = torch.zeros((), dtype=truth.dtype, device=truth.device)
    for number, flow in enumerate(reversed(flows)):
        total = total + gamma**number * (torch.where(counts, flow, 0.0) - truth).abs().mean()
    return total
