"""Options of training a radiance field. At import only the standard library is loaded.

Everything that changes during training is a function of the progress f, from 0 at the first step to 1 at the last: so
one set of options serves a minute as well as an hour, and a slow machine as well as a fast one. With `iterations` f
is counted in steps and the result is the same at every run; with `minutes` it is measured with the clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

Background = Literal["random", "black", "white"]
Masks = Literal["ignore", "transparent"]
Loss = Literal["huber", "mse"]
TrainingBackend = Literal["auto", "cpu", "cuda"]
DEFAULT_MINUTES = 10.0
GPU_STEPS = 30_000
"""Most steps of a training by the clock on a GPU: half a minute on an H200. What comes after is learnt by heart."""


@dataclass(frozen=True)
class FieldRates:
    """Step sizes of Adam. They fall exponentially to `final` of what they are at f = 0, after a start of `warm_up`
    steps in which they rise from zero.

    Attributes
    ----------
    grid, networks : float
        Of the hash grid's entries and of the networks' weights.
    appearance : float
        Of what a photo adds to the colours.
    exposure, poses : float
        Of the change of colour of a photo, and of its motion in radians and fractions of the scene's extent.
    final : float
        What is left of the rates at f = 1.
    warm_up : int
        Steps.
    """

    grid: float = 2e-2
    networks: float = 1e-2
    appearance: float = 1e-2
    exposure: float = 2e-3
    poses: float = 5e-4
    final: float = 0.1
    warm_up: int = 10


@dataclass(frozen=True)
class SampleOptions:
    """How many samples a step has and where they lie.

    Attributes
    ----------
    first, last : int
        Samples of a step at f = 0 and from f = `grown` on; the number of rays follows.
    grown : float
        Progress.
    steps_per_side : int
        Steps of a ray through the box of the scene, along one of its edges.
    cone_angle : float
        Length of a step divided by its range, where this is longer: for what lies far outside of the box.
    most_rays, most_per_ray : int
        Limits of the rays of a step and of the samples of a ray.
    grid : int
        Cells along an edge of the occupancy grid, a multiple of 4.
    update_every : int
        Steps between updates of the occupancy grid.
    decay : float
        Factor by which what its cells remember fades when they are looked at.
    thickness : float
        A cell whose opacity along a step is below this counts as empty.
    least_light : float
        Samples behind which less of the light is left are not trained.

    Raises
    ------
    ValueError
        If a value is none that can be used.
    """

    first: int = 1 << 15
    last: int = 1 << 17
    grown: float = 0.3
    steps_per_side: int = 256
    cone_angle: float = 1.0 / 64
    most_rays: int = 1 << 15
    most_per_ray: int = 1024
    grid: int = 128
    update_every: int = 16
    decay: float = 0.8
    thickness: float = 0.01
    least_light: float = 1e-4

    def __post_init__(self) -> None:
        for name in ("first", "last", "steps_per_side", "most_rays", "most_per_ray", "update_every"):
            _check_whole(f"samples.{name}", getattr(self, name), 1)
        if self.grid % 4 or self.grid < 4:
            raise ValueError(f"samples.grid is {self.grid!r}; expected a multiple of 4")
        for name in ("grown", "cone_angle", "decay", "thickness", "least_light"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(
                    f"samples.{name} is {getattr(self, name)!r}; expected a number from 0 to below 1"
                )


@dataclass(frozen=True)
class TrainingOptions:
    """What a user may choose about training; the defaults suit ten minutes on a CPU, or half a minute on a GPU.

    Attributes
    ----------
    minutes : float or None
        Length of the training by the clock. None with `iterations`; ten when neither is given. On a GPU it ends after
        `GPU_STEPS` steps at the latest, and the schedule is fitted to that.
    iterations : int or None
        Length of the training in steps.
    target_psnr : float or None
        Stop earlier, when the views held out reach this on average, dB.
    downscale : float or None
        The photos are reduced by this factor; None takes the smallest of 1, 2, 4, ... with the longest side at most
        800 pixels.
    hold_out_every : int
        Every so manieth photo is kept out of training and measures the result; 0 for none.
    background : {"random", "black", "white"}
        Behind everything. "random": another colour for every ray in training, so that what photos show becomes opaque;
        what measures is before black. Photos with alpha are trained before random colours whatever this says, and
        measured before it: what is transparent in them stays so.
    masks : {"ignore", "transparent"}
        What the masked part of a photo says: nothing, or that there is nothing.
    loss : {"huber", "mse"}
        Of the colours. Huber's (from 0.1 on linear) forgives what differs between photos.
    distortion_weight : float
        Of the loss that draws the samples of a ray together (mip-NeRF 360): against mist.
    levels, log2_entries, finest : int or None
        Of the hash grid: levels, log2 of the entries of one, and cells along an edge at the last. None takes 8, 17 and
        1024 on the CPU; 16, 19 and 2048 on a GPU.
    appearance : int
        Numbers by which the colours of a photo may differ, 0 for none; views of no photo have the mean appearance.
    exposure : bool
        Fit an affine change of colour (3 x 4) to each photo.
    refine_poses : bool
        Move the cameras too, from coarse to fine (BARF).
    backend : {"auto", "cpu", "cuda"}
        Where to train; "auto" takes a GPU that our kernels run on, else the CPU.
    checkpoint_seconds : float
        Time from one checkpoint to the next.
    seed : int
        Of every random choice.
    rates : FieldRates
    samples : SampleOptions or None
        None takes those of `SampleOptions()` on the CPU, and 2^18 in every step on a GPU.

    Raises
    ------
    ValueError
        If a value is none that can be used, or two contradict each other. The message names the attribute.
    """

    minutes: float | None = None
    iterations: int | None = None
    target_psnr: float | None = None
    downscale: float | None = None
    hold_out_every: int = 8
    background: Background = "random"
    masks: Masks = "ignore"
    loss: Loss = "huber"
    distortion_weight: float = 0.0
    levels: int | None = None
    log2_entries: int | None = None
    finest: int | None = None
    appearance: int = 0
    exposure: bool = False
    refine_poses: bool = False
    backend: TrainingBackend = "auto"
    checkpoint_seconds: float = 60.0
    seed: int = 0
    rates: FieldRates = field(default_factory=FieldRates)
    samples: SampleOptions | None = None

    def __post_init__(self) -> None:
        for name, choices in (
            ("background", Background),
            ("masks", Masks),
            ("loss", Loss),
            ("backend", TrainingBackend),
        ):
            value = getattr(self, name)
            if value not in get_args(choices):
                raise ValueError(f"{name} is {value!r}; choose one of {', '.join(get_args(choices))}")
        if self.minutes is not None and self.iterations is not None:
            raise ValueError("minutes and iterations both say when training ends; give one of them")
        for name, least in (("hold_out_every", 0), ("appearance", 0), ("seed", 0)):
            _check_whole(name, getattr(self, name), least)
        for name, least, most in (("levels", 1, 16), ("log2_entries", 4, 24), ("finest", 16, 65_536)):
            value = getattr(self, name)
            if value is None:
                continue
            _check_whole(name, value, least)
            if value > most:
                raise ValueError(f"{name} is {value!r}; expected at most {most}")
        if self.iterations is not None:
            _check_whole("iterations", self.iterations, 1)
        if self.hold_out_every == 1:
            raise ValueError(
                "hold_out_every is 1, which leaves no photo to train with; 8 is usual, 0 for none"
            )
        for name in ("minutes", "target_psnr", "checkpoint_seconds"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} is {value!r}; expected a positive number")
        if self.downscale is not None and not 1 <= self.downscale < math.inf:
            raise ValueError(f"downscale is {self.downscale!r}; expected 1 (full size) or more")
        if not 0 <= self.distortion_weight < math.inf:
            raise ValueError(f"distortion_weight is {self.distortion_weight!r}; expected 0 or more")
        if self.target_psnr is not None and self.hold_out_every == 0:
            raise ValueError("target_psnr is measured on photos held out; hold_out_every is 0")

    @property
    def seconds(self) -> float | None:
        """Length of the training by the clock; None when it is counted in steps."""
        return None if self.iterations is not None else 60.0 * (self.minutes or DEFAULT_MINUTES)

    def for_backend(self, backend: Literal["cpu", "cuda"]) -> TrainingOptions:
        """These options for a training there: with its own value wherever there was None of the field and the samples.

        Parameters
        ----------
        backend : {"cpu", "cuda"}
        """
        levels, log2_entries, finest, samples = _OF_BACKEND[backend]
        return replace(
            self,
            backend=backend,
            levels=levels if self.levels is None else self.levels,
            log2_entries=log2_entries if self.log2_entries is None else self.log2_entries,
            finest=finest if self.finest is None else self.finest,
            samples=samples if self.samples is None else self.samples,
        )


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} is {value!r}; expected a whole number of at least {least}")


_GPU_SAMPLES = SampleOptions(first=1 << 18, last=1 << 18, steps_per_side=512, most_rays=1 << 16, decay=0.95)
_OF_BACKEND = {"cpu": (8, 17, 1024, SampleOptions()), "cuda": (16, 19, 2048, _GPU_SAMPLES)}
