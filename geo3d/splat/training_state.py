"""The state of a training in a file: with it a training that was killed goes on as if nothing had been."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from geo3d.render.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from geo3d.render.training_key import views_key
from geo3d.render.views import ViewSet
from geo3d.scene import Gaussians
from geo3d.splat.engine import CpuEngine
from geo3d.splat.training_options import TrainingOptions
from geo3d.splat.training_report import LENGTH

KIND = "splats"
_PARAMETERS = ("means", "quaternions", "log_scales", "logit_opacities", "sh")


def training_key(views: ViewSet, options: TrainingOptions) -> str:
    """Hash of all that a training depends on but its length; a checkpoint of another key is of no use.

    Parameters
    ----------
    views : ViewSet
    options : TrainingOptions
    """
    left_out = (*LENGTH, "checkpoint_seconds")
    return views_key(views, {k: v for k, v in asdict(options).items() if k not in left_out})


def _adam(engine: CpuEngine) -> dict[str, np.ndarray]:
    parts = {name: getattr(engine.adam, name) for name in ("steps", "m", "v")}
    return {name: np.asarray(part.cpu() if hasattr(part, "cpu") else part) for name, part in parts.items()}


def save_state(path: Path, engine: CpuEngine, key: str, told: dict) -> None:
    """Write the state of `engine`.

    Parameters
    ----------
    path : Path
    engine : CpuEngine
    key : str
        Of `training_key`.
    told : dict
        Step, seconds and whatever else JSON can hold.
    """
    g = engine.gaussians
    arrays = {name: getattr(g, name) for name in _PARAMETERS}
    arrays |= {f"adam.{name}": array for name, array in _adam(engine).items()}
    arrays |= {f"seen.{name}": array for name, array in vars(engine.statistics).items()}
    if engine.smoothing is not None:
        arrays["smoothing.variance"] = engine.smoothing.variance
    for name, part in (("exposure", engine.exposure), ("poses", engine.poses)):
        if part is not None:
            arrays |= {f"{name}.{key_}": np.asarray(value) for key_, value in vars(part).items()}
    write_checkpoint(path, KIND, arrays, {"key": key, "antialiased": g.antialiased, **told})


def find_state(path: Path, key: str) -> Checkpoint | None:
    """The checkpoint at `path` if it is one of the training `key`; None otherwise."""
    try:
        found = read_checkpoint(path, KIND)
    except (FileNotFoundError, ValueError):
        return None
    return found if found.header.get("key") == key else None


def gaussians_of(checkpoint: Checkpoint) -> Gaussians:
    """The Gaussians that `checkpoint` holds."""
    parts = (checkpoint.arrays[name] for name in _PARAMETERS)
    return Gaussians(*parts, antialiased=bool(checkpoint.header["antialiased"]))


def restore(engine: CpuEngine, checkpoint: Checkpoint) -> None:
    """Put what `checkpoint` holds beside the Gaussians into `engine`, which was made of `gaussians_of(checkpoint)`."""
    parts: dict[str, dict[str, np.ndarray]] = {}
    for name, array in checkpoint.arrays.items():
        group, _, own = name.partition(".")
        if own:
            parts.setdefault(group, {})[own] = array
    statistics = engine.statistics
    for owner, values in (
        (engine.adam, parts["adam"]),
        (statistics, parts["seen"]),
        (engine.exposure, parts.get("exposure", {})),
        (engine.poses, parts.get("poses", {})),
        (engine.smoothing, parts.get("smoothing", {})),
    ):
        for name, value in values.items():
            held = getattr(owner, name)
            setattr(owner, name, held.new_tensor(value) if hasattr(held, "new_tensor") else value)
    engine.statistics = statistics
