"""Training of RAFT on made-up pairs. Teed & Deng 2020, section 3.4, reduced to what a CPU does in minutes.

AdamW, a learning rate that rises for 5 % of the steps and falls linearly to zero, gradients clipped by their norm, the
loss of `geo3d.flow.raft.loss`. Step k takes the pairs with seeds k batch to (k + 1) batch - 1, so that a training
that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from geo3d.flow.raft.architecture import REDUCED, SMALLEST, STRIDE, Architecture
from geo3d.flow.raft.initial import start_features
from geo3d.flow.raft.loss import sequence_loss
from geo3d.flow.raft.model import Raft
from geo3d.flow.raft.weights import raft_of, read_tensors
from geo3d.synthetic import FlowPair
from geo3d.util.files import atomic_path
from geo3d.util.progress import Progress
from geo3d.util.require import require

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = require("torch")

Pairs = Callable[[int], FlowPair]
"""The pair of a seed, always the same; all of one size."""

_FIRST_LOOK = range(1 << 29, (1 << 29) + 16)  # seeds of pairs that the first features are set from
_UNSEEN = 1 << 30  # first seed of the pairs that measure: training never comes so far


@dataclass(frozen=True)
class TrainingOptions:
    """Options of a training.

    Attributes
    ----------
    architecture : Architecture
    steps : int
        In all.
    batch : int
        Pairs a step.
    iterations : int
        Of the update while training.
    learning_rate : float
        At its highest.
    weight_decay : float
    gamma : float
        Weight of an iteration relative to the next in the loss.
    longest_gradient : float
        Norm to which gradients are clipped.
    unseen : int
        Pairs that the error is measured on.
    points : int
        Times that it is measured, besides the beginning.
    save_every_s : float
        Time between checkpoints.
    seed : int
        Of the first weights.
    """

    architecture: Architecture = REDUCED
    steps: int = 6500
    batch: int = 4
    iterations: int = 6
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    gamma: float = 0.8
    longest_gradient: float = 1.0
    unseen: int = 32
    points: int = 20
    save_every_s: float = 60.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "iterations", "unseen", "points"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if not 0.0 < self.learning_rate < 1.0:
            raise ValueError(f"learning_rate: expected between 0 and 1, got {self.learning_rate}")


@dataclass(frozen=True)
class CurvePoint:
    """Error on unseen pairs.

    Attributes
    ----------
    step : int
        Steps done.
    seconds : float
        Of wall time so far, of earlier runs too: making the pairs, training, measuring.
    epe_px : float
        Mean endpoint error.
    """

    step: int
    seconds: float
    epe_px: float


@dataclass(frozen=True, eq=False)
class Training:
    """A training that was done.

    Attributes
    ----------
    network : Raft
        In evaluation mode.
    zero_epe_px : float
        Error of no flow at all on the unseen pairs.
    curve : tuple of CurvePoint
        The first is that of the untrained network.
    """

    network: Raft
    zero_epe_px: float
    curve: tuple[CurvePoint, ...]


def train_raft(
    path: str | os.PathLike,
    pairs: Pairs,
    options: TrainingOptions | None = None,
    progress: Progress | None = None,
) -> Training:
    """Train a network, or go on where an earlier call stopped.

    Parameters
    ----------
    path : path-like
        Checkpoint: written now and then and at the end, read by `load_raft`. If it is there, with the same options,
        the training goes on from it.
    pairs : callable
        Makes a pair of a seed; images of multiples of 8 pixels a side, at least 64.
    options : TrainingOptions, optional
    progress : Progress, optional

    Raises
    ------
    ValueError
        If the file is there and is not of this training, the pairs have another size, or the training diverges.
    """
    options, progress = options or TrainingOptions(), progress or Progress()
    path = Path(path)
    run = _Run.resumed(path, options) if path.exists() else _Run.started(pairs, options)
    unseen = _batch(pairs, range(_UNSEEN, _UNSEEN + options.unseen))
    zero = float(torch.linalg.vector_norm(unseen[2], dim=1).nanmean())
    every = max(1, options.steps // options.points)
    with progress.stage("train", total=options.steps, initial=run.step) as stage:
        if not run.curve:
            run.measure(unseen)
        begun = time.monotonic() - run.seconds
        saved = time.monotonic()
        while run.step < options.steps:
            first = run.step * options.batch
            run.advance(_batch(pairs, range(first, first + options.batch)))
            run.seconds = time.monotonic() - begun
            if run.step % every == 0 or run.step == options.steps:
                run.measure(unseen)
            stage.update(run.step, text=f"{run.curve[-1].epe_px:.2f} px")
            if time.monotonic() - saved > options.save_every_s:
                run.save(path)
                saved = time.monotonic()
    if run.step > run.saved:
        run.save(path)
    return Training(run.network.eval(), zero, tuple(run.curve))


def learning_rate(step: int, options: TrainingOptions) -> float:
    """Rate of a `step`, from 0 on: up over the first twentieth of those of `options`, then down to zero, linearly."""
    rise = max(1.0, 0.05 * options.steps)
    return options.learning_rate * min(
        (step + 1) / rise, (options.steps - step) / (options.steps - rise + 1.0)
    )


class _Run:
    """State of a training."""

    def __init__(self, options: TrainingOptions, network: Raft) -> None:
        self.options, self.network = options, network
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay, eps=1e-8
        )
        self.step, self.saved, self.seconds = 0, -1, 0.0
        self.curve: list[CurvePoint] = []

    @classmethod
    def started(cls, pairs: Pairs, options: TrainingOptions) -> _Run:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(options.seed)
            network = Raft(options.architecture)
            start_features(network.fnet, 2.0 * _batch(pairs, _FIRST_LOOK)[0] - 1.0)
            for parameter in network.update_block.flow_head.conv2.parameters():
                torch.nn.init.zeros_(parameter)  # the first flow is none, and not a random one
            return cls(options, network)

    @classmethod
    def resumed(cls, path: Path, options: TrainingOptions) -> _Run:
        content = read_tensors(path)
        try:
            kept, optimizer = content["options"], content["optimizer"]
            step, seconds, curve = int(content["step"]), float(content["seconds"]), content["curve"]
            run = cls(options, raft_of(content["model"], str(path)))
            run.curve = [CurvePoint(int(s), float(t), float(e)) for s, t, e in curve]
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: is not a checkpoint of a training ({error!r}); give a new file"
            ) from error
        if kept != _key(options):
            changed = [name for name, value in _key(options).items() if kept.get(name) != value]
            raise ValueError(
                f"{path}: was trained with other options ({', '.join(changed)}); give these, or a new file"
            )
        run.optimizer.load_state_dict(optimizer)
        run.step, run.saved, run.seconds = step, step, seconds
        return run

    def advance(self, batch: tuple[Tensor, Tensor, Tensor]) -> None:
        """One step."""
        options = self.options
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, options)
        self.network.train()
        image0, image1, truth = batch
        flows = self.network(image0, image1, options.iterations, every=True)
        loss = sequence_loss(flows, truth, options.gamma)
        if not torch.isfinite(loss):
            raise ValueError(f"the training diverged in step {self.step + 1}; lower learning_rate")
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), options.longest_gradient)
        self.optimizer.step()
        self.step += 1

    def measure(self, unseen: tuple[Tensor, Tensor, Tensor]) -> None:
        """Add a point to the curve."""
        self.network.eval()
        errors = []
        with torch.inference_mode():
            for image0, image1, truth in zip(*(part.split(self.options.batch) for part in unseen)):
                flow = self.network(image0, image1, 2 * self.options.iterations)[-1]
                errors.append(torch.linalg.vector_norm(flow - truth, dim=1))
        self.curve.append(CurvePoint(self.step, self.seconds, float(torch.cat(errors).nanmean())))

    def save(self, path: Path) -> None:
        """Write the checkpoint in place."""
        content: dict[str, Any] = {
            "model": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "options": _key(self.options),
            "step": self.step,
            "seconds": self.seconds,
            "curve": [(point.step, point.seconds, point.epe_px) for point in self.curve],
        }
        with atomic_path(path) as partial:
            torch.save(content, partial)
        self.saved = self.step


def _key(options: TrainingOptions) -> dict[str, Any]:
    """What a training depends on."""
    return {k: v for k, v in asdict(options).items() if k not in ("unseen", "points", "save_every_s")}


def _batch(pairs: Pairs, seeds: range) -> tuple[Tensor, Tensor, Tensor]:
    """Images and flow of pairs, (N, 3 or 2, H, W)."""
    made = [pairs(seed) for seed in seeds]
    height, width = made[0].flow.shape[:2]
    if min(height, width) < SMALLEST or height % STRIDE or width % STRIDE:
        raise ValueError(
            f"pairs: expected images of multiples of {STRIDE} pixels a side, at least {SMALLEST}, got {width}x{height}"
        )
    first, second = (
        torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255.0
        for images in ([pair.image0 for pair in made], [pair.image1 for pair in made])
    )
    flow = torch.from_numpy(np.stack([pair.flow for pair in made])).permute(0, 3, 1, 2)
    return first.contiguous(), second.contiguous(), flow.contiguous()
