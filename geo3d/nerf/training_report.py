"""What comes out of a training, and the files of it: nerf.pt and metrics.json."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geo3d.io import FIELD
from geo3d.nerf.model import NerfModel, read_model, write_model
from geo3d.nerf.training_options import TrainingOptions
from geo3d.render.evaluation import ViewQuality
from geo3d.render.metrics_file import finished_metrics, write_metrics

LENGTH = "minutes", "iterations", "target_psnr"
"""Options that say when a training ends."""

MODEL = FIELD.name


@dataclass(frozen=True)
class TrainingReport:
    """What came out of a training.

    Attributes
    ----------
    out : Path
        Folder with nerf.pt, metrics.json and samples/.
    model : NerfModel
    held_out : list of ViewQuality
    steps : int
    samples : int
        Of all steps: places where the field was evaluated and differentiated.
    seconds : float
        Of the steps, with loading of photos; without the measuring at the end.
    downscale : float
        By which the photos were reduced.
    photos : int
        To train on.
    missing, damaged : tuple of str
        Photos that were left out: that are not there, and that cannot be read.
    stopped : str
        Why it ended before its time; empty if it did not.
    curve : tuple of (float, float)
        Seconds and PSNR of the first view held out, dB, at each checkpoint.
    """

    out: Path
    model: NerfModel
    held_out: list[ViewQuality]
    steps: int
    samples: int
    seconds: float
    downscale: float
    photos: int
    missing: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    stopped: str = ""
    curve: tuple[tuple[float, float], ...] = ()


def write_report(
    report: TrainingReport, scene: Path, options: TrainingOptions, key: str, finished: bool
) -> None:
    """Write nerf.pt and metrics.json of a training, finished or not.

    Parameters
    ----------
    report : TrainingReport
    scene : Path
        What it trained on; `geo3d.io.find_field` finds it again.
    options : TrainingOptions
    key : str
        Of the training.
    finished : bool
    """
    told = {
        "finished": finished,
        "steps": report.steps,
        "samples": report.samples,
        "seconds": round(report.seconds, 2),
        "samples_per_s": round(report.samples / max(report.seconds, 1e-9)),
        "ms_per_step": round(1e3 * report.seconds / max(report.steps, 1), 2),
        "downscale": report.downscale,
        "photos": report.photos,
        "photos_missing": list(report.missing),
        "photos_damaged": list(report.damaged),
        "stopped": report.stopped,
        "curve": [list(point) for point in report.curve],
        "scene": str(scene.absolute()),
        "key": key,
        "options": asdict(options),
    }
    write_model(report.out / MODEL, report.model)
    write_metrics(report.out, report.held_out, told)


def finished_before(out: Path, options: TrainingOptions, key: str) -> tuple[TrainingReport | None, bool]:
    """What an earlier run left in `out`: the report of this very training, if it was finished; and whether there is one
    of any other that was.

    Parameters
    ----------
    out : Path
    options : TrainingOptions
    key : str
        Of the training.
    """
    told, other = finished_metrics(out, MODEL, key, {name: getattr(options, name) for name in LENGTH})
    try:
        return (None if told is None else _report(out, told)), other
    except (OSError, ValueError, KeyError, TypeError):  # damaged: it says nothing
        return None, False


def _report(out: Path, told: dict[str, Any]) -> TrainingReport:
    return TrainingReport(
        out,
        read_model(out / MODEL),
        [ViewQuality(**view) for view in told["held_out"]],
        told["steps"],
        told["samples"],
        told["seconds"],
        told["downscale"],
        told["photos"],
        tuple(told["photos_missing"]),
        tuple(told["photos_damaged"]),
        told["stopped"],
        tuple((float(s), float(p)) for s, p in told["curve"]),
    )
