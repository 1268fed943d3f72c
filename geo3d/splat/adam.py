"""Adam for Gaussians of which a camera sees a part: those that are not visible keep their parameters and moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.scene import Gaussians
from geo3d.splat import adam_kernels
from geo3d.splat.options import GaussianGradients
from geo3d.util.crew import everyone


@dataclass(frozen=True)
class LearningRates:
    """Steps of the raw parameters; those of Kerbl et al., `means` in world units (there 1.6e-4 x the scene's extent).

    Attributes
    ----------
    means, quaternions, log_scales, logit_opacities : float
    sh_0, sh_rest : float
        The coefficients of degree 0, and the others.
    """

    means: float = 1.6e-4
    quaternions: float = 1e-3
    log_scales: float = 5e-3
    logit_opacities: float = 5e-2
    sh_0: float = 2.5e-3
    sh_rest: float = 1.25e-4


class SparseAdam:
    """Adam (Kingma and Ba 2015) on the rows that are visible, each with its own count of steps.

    Parameters
    ----------
    gaussians : Gaussians
        What is moved, in place: NumPy float32, C-contiguous.
    betas : tuple of 2 float
        Decay of the two moments.
    epsilon : float

    Attributes
    ----------
    steps : (N,) int32
        How often each Gaussian was moved.
    m, v : (N, D) float32
        First and second moments; in a row mean (3), quaternion (4), log_scale (3), logit_opacity, five unused numbers,
        and sh.
    """

    def __init__(
        self, gaussians: Gaussians, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-15
    ) -> None:
        self.betas, self.epsilon = betas, epsilon
        n, width = len(gaussians), adam_kernels.HEAD + 3 * gaussians.sh.shape[1]
        self.steps = np.zeros(n, np.int32)
        self.m, self.v = np.zeros((n, width), np.float32), np.zeros((n, width), np.float32)
        # From some step on the corrections of the moments' start are 1.
        times = np.arange(2 + int(np.log(1e-9) / np.log(max(*betas, 0.1))))
        with np.errstate(divide="ignore", invalid="ignore"):
            roots = np.sqrt(1.0 - betas[1] ** times)
            self._sizes = (roots / (1.0 - betas[0] ** times)).astype(np.float32)
        self._epsilons = (epsilon * roots).astype(np.float32)

    def step(self, gaussians: Gaussians, gradients: GaussianGradients, rates: LearningRates) -> None:
        """Move the visible `gaussians` against their `gradients`, in place.

        Parameters
        ----------
        gaussians : Gaussians
            As many as this object has rows.
        gradients : GaussianGradients
        rates : LearningRates

        Raises
        ------
        ValueError
            If the number of Gaussians is not that of the state, or an array is not C-contiguous float32.
        """
        if len(gaussians) != len(self.steps):
            raise ValueError(f"gaussians: expected {len(self.steps)}, as the state has, got {len(gaussians)}")
        names = "means", "quaternions", "log_scales", "logit_opacities", "sh"
        for name in names:
            array = getattr(gaussians, name)
            if array.dtype != np.float32 or not array.flags.c_contiguous:
                raise ValueError(f"{name}: expected C-contiguous float32, got {array.dtype}")
        parameters = tuple(getattr(gaussians, name).reshape(-1) for name in names)
        slopes = tuple(getattr(gradients, name).reshape(-1) for name in names)
        row = np.zeros(self.m.shape[1], np.float32)
        widths = 3, 4, 3, 1
        row[: sum(widths)] = np.repeat(
            [rates.means, rates.quaternions, rates.log_scales, rates.logit_opacities], widths
        )
        row[adam_kernels.HEAD :], row[adam_kernels.HEAD : adam_kernels.HEAD + 3] = rates.sh_rest, rates.sh_0
        m, v, decay = self.m.reshape(-1), self.v.reshape(-1), np.array(self.betas, np.float32)
        crew = everyone()
        scratch = np.zeros((crew.threads, 2 * adam_kernels.HEAD), np.float32)
        crew.run(
            lambda counter, k: adam_kernels.adam(
                counter, gradients.visible, parameters, slopes, row, decay, self._sizes, self._epsilons, self.steps, m,
                v, scratch[k],
            )
        )  # fmt: skip

    def rearrange(self, sources: np.ndarray) -> None:
        """Follow a change of the Gaussians: pruning, cloning, splitting, relocating.

        New row j takes the state of the old row `sources[j]`, or starts anew where that is -1.

        Parameters
        ----------
        sources : (M,) int
        """
        fresh = sources < 0
        for name in ("steps", "m", "v"):
            rows = getattr(self, name)[sources]
            rows[fresh] = 0
            setattr(self, name, rows)
