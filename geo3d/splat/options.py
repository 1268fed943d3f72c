"""What to render and what comes out: options, images, gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

BACKENDS = ("auto", "reference", "cpu", "cuda")


@dataclass(frozen=True)
class RenderOptions:
    """How Gaussians are rendered.

    Attributes
    ----------
    backend : str
        "cpu" (numba kernels), "cuda" (kernels on a GPU), "reference" (readable PyTorch, slow), or "auto": cuda if it
        can run here, else cpu.
    background : tuple of 3 float
        RGB behind the Gaussians.
    near : float
        Gaussians whose centre is nearer along z are left out, world units.
    sh_degree : int
        Spherical harmonics above this degree (0 to 3) are left out.
    depth, normals : bool
        Whether to render these too.

    Raises
    ------
    ValueError
        If a value is outside of its range.
    """

    backend: str = "auto"
    background: tuple[float, float, float] = (0.0, 0.0, 0.0)
    near: float = 0.01
    sh_degree: int = 3
    depth: bool = False
    normals: bool = False

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ValueError(f"backend: expected one of {', '.join(BACKENDS)}, got {self.backend!r}")
        if len(self.background) != 3:
            raise ValueError(f"background: expected three numbers, R, G and B; got {self.background!r}")
        if not self.near > 0:
            raise ValueError(f"near: expected a distance above 0, got {self.near!r}")
        if self.sh_degree not in (0, 1, 2, 3):
            raise ValueError(f"sh_degree: expected 0, 1, 2 or 3, got {self.sh_degree!r}")


@dataclass(frozen=True)
class Rendering:
    """Images of a camera of H rows and W columns, NumPy float32 or torch tensors.

    Attributes
    ----------
    color : (H, W, 3)
        RGB over the background, sRGB-encoded.
    alpha : (H, W)
        How much of the background is covered, 0 to 1.
    depth : (H, W) or None
        Expected z of what is seen, camera frame; 0 where nothing is.
    median_depth : (H, W) or None
        z of the Gaussian at which half of the light is gone; 0 where it never is.
    normals : (H, W, 3) or None
        Unit normals in the camera frame, turned to the camera; 0 where nothing is seen.
    """

    color: Any
    alpha: Any
    depth: Any = None
    median_depth: Any = None
    normals: Any = None


@dataclass(frozen=True)
class GaussianGradients:
    """Gradients of a loss by the raw parameters of N Gaussians, float32; rows that are not visible are 0.

    Attributes
    ----------
    means, quaternions, log_scales, logit_opacities, sh
        In the shapes of `geo3d.scene.Gaussians`.
    pose : (3, 4) float64
        By the entries of [R | t] of `cam_from_world`.
    visible : (N,) bool
        Whether the Gaussian reaches a pixel.
    radius_px : (N,)
        Three standard deviations along the longer axis in the image; 0 where not visible.
    mean2d : (N, 2)
        By the centre in the image, per pixel.
    mean2d_abs : (N, 2) or None
        The same with the absolute value taken in every pixel before they are summed (Ye et al., AbsGS, 2024).
    """

    means: Any
    quaternions: Any
    log_scales: Any
    logit_opacities: Any
    sh: Any
    pose: Any
    visible: Any
    radius_px: Any
    mean2d: Any
    mean2d_abs: Any = None
