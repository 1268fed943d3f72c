"""What comes out of a training, and the file beside it that tells how good it is: metrics.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geo3d.io import WorldFrame, read_splat_ply, write_splat_ply
from geo3d.render.evaluation import ViewQuality
from geo3d.render.metrics_file import finished_metrics, write_metrics
from geo3d.scene import Gaussians
from geo3d.splat.training_options import TrainingOptions

LENGTH = "minutes", "iterations", "passes", "target_psnr"
"""Options that say when a training ends."""


@dataclass(frozen=True)
class TrainingReport:
    """What came out of a training.

    Attributes
    ----------
    out : Path
        Folder with splats.ply, metrics.json and samples/.
    gaussians : Gaussians
        NumPy float32.
    held_out : list of ViewQuality
    steps : int
    seconds : float
        Of the steps, with loading of photos and changes of the set; without the measuring at the end.
    downscale : float
        By which the photos were reduced.
    photos : int
        To train on.
    missing, damaged : tuple of str
        Photos that were left out: that are not there, and that cannot be read.
    stopped : str
        Why it ended before its time; empty if it did not.
    """

    out: Path
    gaussians: Gaussians
    held_out: list[ViewQuality]
    steps: int
    seconds: float
    downscale: float
    photos: int
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    stopped: str = ""


def write_report(
    report: TrainingReport, scene: Path, frame: WorldFrame, options: TrainingOptions, key: str, finished: bool
) -> None:
    """Write splats.ply and metrics.json of a training, finished or not.

    Parameters
    ----------
    report : TrainingReport
    scene : Path
        What it trained on; `geo3d.io.scene_of_splats` finds it again.
    frame : WorldFrame
        Of its world.
    options : TrainingOptions
    key : str
        Of `geo3d.splat.training_state.training_key`.
    finished : bool
    """
    told = {
        "finished": finished,
        "gaussians": len(report.gaussians),
        "steps": report.steps,
        "seconds": round(report.seconds, 2),
        "ms_per_step": round(1e3 * report.seconds / max(report.steps, 1), 2),
        "downscale": report.downscale,
        "photos": report.photos,
        "photos_missing": list(report.missing),
        "photos_damaged": list(report.damaged),
        "stopped": report.stopped,
        "scene": str(scene.absolute()),
        "key": key,
        "options": asdict(options),
    }
    write_splat_ply(report.out / "splats.ply", report.gaussians, frame)
    write_metrics(report.out, report.held_out, told)


def finished_before(out: Path, options: TrainingOptions, key: str) -> tuple[TrainingReport | None, bool]:
    """What an earlier run left in `out`: the report of this very training, if it was finished; and whether there is one
    of any other that was.

    Parameters
    ----------
    out : Path
    options : TrainingOptions
    key : str
        Of `geo3d.splat.training_state.training_key`.
    """
    told, other = finished_metrics(out, "splats.ply", key, {name: getattr(options, name) for name in LENGTH})
    try:
        return (None if told is None else _report(out, told)), other
    except (OSError, ValueError, KeyError, TypeError):  # damaged: it says nothing
        return None, False


def _report(out: Path, told: dict[str, Any]) -> TrainingReport:
    return TrainingReport(
        out,
        read_splat_ply(out / "splats.ply").gaussians,
        [ViewQuality(**view) for view in told["held_out"]],
        told["steps"],
        told["seconds"],
        told["downscale"],
        told["photos"],
        tuple(told["photos_missing"]),
        tuple(told["photos_damaged"]),
        told["stopped"],
    )
