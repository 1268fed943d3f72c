"""Adam for Gaussians on the GPU, fused with the last step of the backward pass: no gradient is ever stored."""

from __future__ import annotations

from typing import Any

from geo3d.scene import Gaussians
from geo3d.splat.adam import LearningRates
from geo3d.splat.cuda_frame import Frame, blocks_of
from geo3d.util.require import require

_MOMENTS = 11  # numbers of a Gaussian before its spherical harmonics
_PARAMETERS = ("means", "quaternions", "log_scales", "logit_opacities", "sh")


class CudaAdam:
    """What `geo3d.splat.adam.SparseAdam` is, on a GPU: its state, its steps, torch tensors.

    Parameters
    ----------
    gaussians : Gaussians
        What is moved, in place: contiguous float32 tensors.
    betas : tuple of 2 float
        Decay of the two moments.
    epsilon : float

    Attributes
    ----------
    steps : (N,) int32
        How often each Gaussian was moved.
    m, v : (N, D) float32
        First and second moments; a row holds mean, quaternion, log_scale, logit_opacity and sh one after another.
    """

    def __init__(
        self, gaussians: Gaussians, betas: tuple[float, float] = (0.9, 0.999), epsilon: float = 1e-15
    ) -> None:
        torch = require("torch")
        self.betas, self.epsilon = betas, epsilon
        n, width, device = len(gaussians), _MOMENTS + 3 * gaussians.sh.shape[1], gaussians.means.device
        self.steps = torch.zeros(n, dtype=torch.int32, device=device)
        self.m, self.v = (torch.zeros(n, width, dtype=torch.float32, device=device) for _ in range(2))

    def step(
        self,
        launch: Any,
        gaussians: Gaussians,
        frame: Frame,
        gradients: Any,
        rates: LearningRates,
        opacity_weight: float = 0.0,
        scale_weight: float = 0.0,
        loss: Any = None,
    ) -> Any:
        """Move the Gaussians that a frame sees, in place; returns (3, 4) float64, the gradient by the frame's pose.

        Parameters
        ----------
        launch : geo3d.gpu.Launcher
        gaussians : Gaussians
            Those that `frame` was rendered from.
        frame : Frame
        gradients : (N, 8 + channels) tensor
            Of `geo3d.splat.cuda_frame.image_gradients`.
        rates : LearningRates
        opacity_weight, scale_weight : float
            Gradients of regularisers by each opacity and by each scale of a Gaussian that is seen.
        loss : () float32 tensor, optional
            Nothing is moved where it is not finite.

        Raises
        ------
        ValueError
            If the number of Gaussians is not that of the state, or a tensor is not contiguous float32.
        """
        torch = require("torch")
        n = len(gaussians)
        if n != len(self.steps):
            raise ValueError(f"gaussians: expected {len(self.steps)}, as the state has, got {n}")
        parameters = [getattr(gaussians, name) for name in _PARAMETERS]
        for name, tensor in zip(_PARAMETERS, parameters):
            if tensor.dtype != torch.float32 or not tensor.is_contiguous():
                raise ValueError(f"{name}: expected contiguous float32, got {tensor.dtype}")
        pose = torch.empty(blocks_of(n, 128), 12, dtype=torch.float32, device=launch.device)
        launch(
            "gaussian_backward/gaussian_step", blocks_of(n, 128), 128, frame.view, n, *parameters,
            frame.variances, gaussians.sh.shape[1], frame.degree, frame.antialiased, frame.channels,
            frame.tile_counts, gradients, self.steps, self.m, self.v, *self.betas, self.epsilon, rates.means,
            rates.quaternions, rates.log_scales, rates.logit_opacities, rates.sh_0, rates.sh_rest, opacity_weight,
            scale_weight, loss, pose,
        )  # fmt: skip
        return pose.double().sum(0).reshape(3, 4)

    def rearrange(self, sources: Any) -> None:
        """New row j takes the state of the old row `sources[j]`, or starts anew where that is -1.

        Parameters
        ----------
        sources : (M,) integer tensor
        """
        fresh = sources < 0
        for name in ("steps", "m", "v"):
            rows = getattr(self, name)[sources.clamp(min=0)]
            rows[fresh] = 0
            setattr(self, name, rows)
