"""Options of training Gaussian splats. At import only the standard library is loaded.

Everything that changes during training is a function of the progress f, from 0 at the first step to 1 at the last: so
one set of options serves a minute as well as an hour, and a slow machine as well as a fast one. With `iterations` f
is counted in steps and the result is the same at every run; with `minutes` it is measured with the clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

Strategy = Literal["multiview", "adc", "absgrad", "mcmc"]
Background = Literal["black", "white", "random"]
Masks = Literal["ignore", "transparent"]
Lens = Literal["undistort", "unscented"]
TrainingBackend = Literal["auto", "cpu", "cuda"]
DEFAULT_MINUTES = 10.0


@dataclass(frozen=True)
class RateSchedule:
    """Step sizes of Adam at f = 0. All but the one of the colours fall exponentially to `final` of it at f = 1.

    About ten times those of Kerbl et al. 2023, who train for 30,000 steps: these are for the few thousand that a CPU
    has time for, and were chosen by the quality of views held out.

    Attributes
    ----------
    means : float
        Of the centres, in units of the scene's extent.
    quaternions, log_scales, logit_opacities : float
        In the units of `Gaussians`.
    sh_0, sh_rest : float
        Of the constant coefficient of the spherical harmonics, and of the others.
    means_final, others_final : float
        What is left of the rate at f = 1.
    """

    means: float = 1.6e-3
    quaternions: float = 1e-2
    log_scales: float = 5e-2
    logit_opacities: float = 1e-1
    sh_0: float = 4e-2
    sh_rest: float = 4e-3
    means_final: float = 0.01
    others_final: float = 0.3


@dataclass(frozen=True)
class DensifyOptions:
    """How the number of Gaussians changes.

    Attributes
    ----------
    interval : int
        Steps from one change to the next.
    start, stop : float
        Progress between which Gaussians are added; useless ones are removed until f = 1 - (1 - stop) / 2.
    min_opacity : float
        More transparent ones are removed (or moved, by "mcmc").
    gradient : float
        "adc": mean length of the gradient of the loss by the centre in the image, in halves of the image's longer
        side, above which a Gaussian is cloned or split.
    gradient_absolute : float
        "absgrad": the same of the sum over pixels of absolute values (Yu et al., AbsGS, 2024).
    split_extent : float
        Larger ones than this fraction of the scene's extent are split, others cloned.
    reset_opacity_every : float
        Progress between resets of all opacities to at most 2 `min_opacity`; 0 for none.
    max_screen : float
        Gaussians with a radius above this fraction of the image's longer side are split, whatever their gradient.
    max_extent : float
        Gaussians longer than this multiple of the scene's extent are removed.
    score_views : int
        "multiview": photos that take part in a score.
    noise : float
        "mcmc": of the random walk of transparent Gaussians, in units of the learning rate of the centres.

    Raises
    ------
    ValueError
        If `interval` or `score_views` is no whole number of at least 1.
    """

    interval: int = 100
    start: float = 0.03
    stop: float = 0.6
    min_opacity: float = 0.005
    gradient: float = 2e-4
    gradient_absolute: float = 8e-4
    split_extent: float = 0.01
    reset_opacity_every: float = 0.0
    max_screen: float = 0.15
    max_extent: float = 10.0
    score_views: int = 8
    noise: float = 5e5

    def __post_init__(self) -> None:
        _check_whole("densify.interval", self.interval, 1)
        _check_whole("densify.score_views", self.score_views, 1)


@dataclass(frozen=True)
class TrainingOptions:
    """What a user may choose about training; the defaults suit ten minutes on a CPU.

    Attributes
    ----------
    minutes : float or None
        Length of the training by the clock. None with `iterations`; ten when neither is given.
    iterations : int or None
        Length of the training in steps of one photo.
    passes : int
        With `minutes`: the training ends at the latest when each photo was seen so often. More makes views between few
        photos worse: 9 photos were best after about a hundred.
    target_psnr : float or None
        Stop earlier, when the views held out reach this on average, dB.
    budget : int
        Most Gaussians.
    strategy : {"multiview", "adc", "absgrad", "mcmc"}
        How Gaussians are added and removed; see docs/splatting.md.
    downscale : float or None
        The photos are reduced by this factor; None takes the smallest of 1, 2, 4, ... with the longest side at most
        `LONGEST_SIDE_PX`.
    hold_out_every : int
        Every so manieth photo is kept out of training and measures the result; 0 for none.
    sh_degree : int
        0 to 3, of the spherical harmonics of the colour.
    antialiased : bool
        The opacity is lowered by what the blur of a pixel spreads (Mip-Splatting): right at every distance.
    background : {"random", "black", "white"}
        Behind everything in training. "random": of another colour at every step, so that what photos show becomes
        opaque, and what is transparent in them stays so; what measures is before black.
    lens : {"undistort", "unscented"}
        What is done about lenses that are no pinholes: their photos are resampled to those of a pinhole, or they are
        rendered as they are, by the unscented transform; the latter on the CPU only.
    masks : {"ignore", "transparent"}
        What the masked part of a photo says: nothing, or that there is nothing.
    initial_points : int
        Random points to start from when the scene has none; inside of the visual hull when the photos have alpha.
    ssim_weight : float
        Of 1 - SSIM in the loss, against the mean absolute difference.
    opacity_weight, scale_weight : float
        Regularisers: of the mean opacity, and of the mean scale in units of the scene's extent.
    sky : bool
        Start with Gaussians on a far sphere too, where the photos show no point.
    depth_weight : float
        Of the relative error of the depth at the sparse points, every fourth step; 0 for none.
    exposure : bool
        Fit an affine change of colour (3 x 4) to each photo.
    refine_poses : bool
        Move the cameras too.
    backend : {"auto", "cpu", "cuda"}
        Where to train; "auto" takes a GPU that our kernels run on, else the CPU.
    coarse : tuple of (float, float)
        (f, factor): until f the photos are reduced by this factor more.
    checkpoint_seconds : float
        Time from one checkpoint to the next.
    seed : int
        Of every random choice.
    rates : RateSchedule
    densify : DensifyOptions

    Raises
    ------
    ValueError
        If a value is none that can be used, or two contradict each other. The message names the attribute.
    """

    minutes: float | None = None
    iterations: int | None = None
    passes: int = 130
    target_psnr: float | None = None
    budget: int = 100_000
    strategy: Strategy = "multiview"
    downscale: float | None = None
    hold_out_every: int = 8
    sh_degree: int = 3
    antialiased: bool = False
    background: Background = "random"
    lens: Lens = "undistort"
    masks: Masks = "ignore"
    initial_points: int = 47_000
    ssim_weight: float = 0.2
    opacity_weight: float = 0.0
    scale_weight: float = 0.0
    sky: bool = False
    depth_weight: float = 0.0
    exposure: bool = False
    refine_poses: bool = False
    backend: TrainingBackend = "auto"
    coarse: tuple[tuple[float, float], ...] = ((0.1, 2.0),)
    checkpoint_seconds: float = 60.0
    seed: int = 0
    rates: RateSchedule = field(default_factory=RateSchedule)
    densify: DensifyOptions = field(default_factory=DensifyOptions)

    def __post_init__(self) -> None:
        for name, choices in (
            ("strategy", Strategy),
            ("background", Background),
            ("lens", Lens),
            ("masks", Masks),
            ("backend", TrainingBackend),
        ):
            _check_choice(name, getattr(self, name), get_args(choices))
        if self.lens == "unscented" and self.backend == "cuda":
            raise ValueError("lens unscented renders on the CPU only: give backend cpu, or lens undistort")
        if self.minutes is not None and self.iterations is not None:
            raise ValueError("minutes and iterations both say when training ends; give one of them")
        for name, least in (
            ("budget", 1),
            ("hold_out_every", 0),
            ("initial_points", 1),
            ("seed", 0),
            ("passes", 1),
        ):
            _check_whole(name, getattr(self, name), least)
        if self.iterations is not None:
            _check_whole("iterations", self.iterations, 1)
        if self.hold_out_every == 1:
            raise ValueError(
                "hold_out_every is 1, which leaves no photo to train with; 8 is usual, 0 for none"
            )
        if not (isinstance(self.sh_degree, int) and 0 <= self.sh_degree <= 3):
            raise ValueError(f"sh_degree is {self.sh_degree!r}; expected 0, 1, 2 or 3")
        for name in ("minutes", "target_psnr", "checkpoint_seconds"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} is {value!r}; expected a positive number")
        if self.downscale is not None and not 1 <= self.downscale < math.inf:
            raise ValueError(f"downscale is {self.downscale!r}; expected 1 (full size) or more")
        for name, most in (
            ("ssim_weight", 1.0),
            ("opacity_weight", math.inf),
            ("scale_weight", math.inf),
            ("depth_weight", math.inf),
        ):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected a number from 0 to {most:g}")
        for _, factor in self.coarse:
            if not 1 <= factor < math.inf:
                raise ValueError(f"coarse has the factor {factor!r}; expected 1 (no reduction) or more")
        if self.target_psnr is not None and self.hold_out_every == 0:
            raise ValueError("target_psnr is measured on photos held out; hold_out_every is 0")

    @property
    def seconds(self) -> float | None:
        """Length of the training by the clock; None when it is counted in steps."""
        return None if self.iterations is not None else 60.0 * (self.minutes or DEFAULT_MINUTES)

    def with_strategy_defaults(self) -> TrainingOptions:
        """Regularisers that 3DGS-MCMC (Kheradmand et al. 2024) needs, where none were given."""
        if self.strategy == "mcmc" and self.opacity_weight == 0 and self.scale_weight == 0:
            return replace(self, opacity_weight=0.01, scale_weight=0.01)
        return self


def _check_choice(name: str, value: object, choices: tuple) -> None:
    if value not in choices:
        raise ValueError(f"{name} is {value!r}; choose one of {', '.join(choices)}")


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is {value!r}; expected a whole number of at least {least}")
