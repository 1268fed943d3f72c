"""Options of the main job. Only the standard library is imported, so that the command line starts at once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

STAGES: tuple[str, ...] = ("scan", "features", "matches", "poses", "export")
"""Names of the stages of `geo3d reconstruct`, in the order in which they run."""

CameraPer = Literal["exif", "folder", "photo"]
Matching = Literal["auto", "exhaustive", "sequential", "gps"]
Quality = Literal["low", "medium", "high"]


@dataclass(frozen=True)
class ReconstructOptions:
    """What a user may choose about a reconstruction; the defaults suit a folder of photos of one place.

    Attributes
    ----------
    calib : Path or None
        File with the known calibration of the camera; it sets camera_model and camera_params.
    camera_model : str or None
        COLMAP's name of the lens model; None chooses by what is known about the lens.
    camera_params : tuple of float or None
        Intrinsics in COLMAP's order, in pixels of the original photos, top-left pixel at (0.5, 0.5).
    fix_intrinsics : bool
        Keep the given intrinsics as they are; otherwise they are refined together with the poses.
    camera_per : {"exif", "folder", "photo"}
        Which photos share their intrinsics: those whose EXIF and size agree, those in one folder, none.
    max_size : int or None
        Longest side, in pixels, at which features are sought; None takes the one of `quality`.
    matching : {"auto", "exhaustive", "sequential", "gps"}
        Which pairs of photos are compared.
    seed : int
        Seed of every random choice; the same seed and photos give the same result.
    from_stage, until_stage : str or None
        First stage that is run again even if its result is there, and last stage to run. One of `STAGES`.
    quality : {"low", "medium", "high"}
        How many features are sought at what size; lower is faster.
    pairs : Path or None
        Text file with one pair of photo names a line; takes the place of `matching`.
    threads : int or None
        Number of threads; None takes all cores.

    Raises
    ------
    ValueError
        If a stage, a model, a number is not one that can be used.
    """

    calib: Path | None = None
    camera_model: str | None = None
    camera_params: tuple[float, ...] | None = None
    fix_intrinsics: bool = False
    camera_per: CameraPer = "exif"
    max_size: int | None = None
    matching: Matching = "auto"
    seed: int = 0
    from_stage: str | None = None
    until_stage: str | None = None
    quality: Quality = "high"
    pairs: Path | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, stage in (("from_stage", self.from_stage), ("until_stage", self.until_stage)):
            if stage is not None and stage not in STAGES:
                raise ValueError(f"{name} is {stage!r}; the stages are {', '.join(STAGES)}")
        first, last = self.from_stage or STAGES[0], self.until_stage or STAGES[-1]
        if STAGES.index(first) > STAGES.index(last):
            raise ValueError(f"from_stage {first!r} comes after until_stage {last!r}")
        if self.calib is not None and (self.camera_model or self.camera_params):
            raise ValueError("calib already says model and params; leave out camera_model and camera_params")
        if self.camera_params is not None and self.camera_model is None:
            raise ValueError(
                "camera_params needs camera_model, which says what the numbers mean (PINHOLE: fx, fy, cx, cy)"
            )
        if self.max_size is not None and self.max_size < 64:
            raise ValueError(f"max_size is {self.max_size}; it is the longest side in pixels and at least 64")
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads is {self.threads}; it is at least 1")
