"""`geo3d calibrate LEFT RIGHT ... --rig`: cameras that are fixed to each other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from geo3d.calibration import (
    FoundBoards,
    RigCalibration,
    advise,
    calibrate_rig,
    evidence_of_rig,
    measure_photos,
)
from geo3d.calibration.evidence import held_out_rms
from geo3d.cli.calibrate_camera import choose, find, fit
from geo3d.cli.calibrate_words import (
    metric,
    say_advice,
    say_board,
    say_skipped,
    write_formats,
)
from geo3d.cli.common import Session
from geo3d.geometry import SO3
from geo3d.io import write_camera_json, write_rig_json
from geo3d.scene import CameraRig
from geo3d.viz.calibration_report import (
    CalibrationReportData,
    CameraEntry,
    rig_entry,
    write_calibration_report,
)

if TYPE_CHECKING:
    from geo3d.calibration import HeldOut
    from geo3d.cli.calibrate import Options


def calibrate_rig_of(options: Options, session: Session) -> int:
    """Each camera alone, then all together; write, and say how good it is."""
    names = rig_names(options.photos)
    boards: list[FoundBoards] = []
    for photos in options.photos:
        boards.append(find(photos, options, session, boards[0].target if boards else None))
        if len(boards) == 1:
            say_board(boards[0], options, session)
        else:
            say_skipped(boards[-1], session)
    lenses = []
    for found, name in zip(boards, names):
        with _named(name):
            lenses.append(choose(found, options, session, name))
    terms = max((chosen.shape_terms for chosen, _ in lenses if chosen is not None), default=3)
    with session.progress.stage("fit", total=0) as stage:
        alone = []
        for found, (chosen, _), name in zip(boards, lenses, names):
            with _named(name):
                alone.append(fit(found, chosen, options, terms))
        rig = calibrate_rig(alone, [found.detections for found in boards], boards[0].target, names)
        stage.summary = f"{rig.rms_px:.3f} px over {len(rig.shared_moments)} shared moments"
    held = CameraRig(tuple(names), tuple(rig.cameras), tuple(rig.cam_from_first))
    with session.progress.stage("report", total=0) as stage:
        entries = [_entry(rig, c, boards[c], names[c], lenses[c], options) for c in range(len(names))]
        data = CalibrationReportData(f"Rig of {', '.join(names)}", entries, rig_entry(rig))
        write_calibration_report(options.out / "report.html", data)
        stage.summary = str(options.out / "report.html")
    write_rig_json(options.out / "rig.json", held)
    for name, camera in zip(names, rig.cameras):
        write_camera_json(options.out / f"{name}.json", camera, name)
    formats = write_formats(options.out, held)
    _say_rig(rig, names, metric(options), session)
    for entry, name in zip(entries, names):
        say_advice(advise(entry.evidence), session, name)
    session.say(
        f"rig: {options.out / 'rig.json'}; each camera for --calib: " + ", ".join(f"{n}.json" for n in names)
    )
    session.say(f"report: {options.out / 'report.html'}; for other programs: {', '.join(formats)}")
    session.result(
        out=str(options.out / "rig.json"),
        report=str(options.out / "report.html"),
        cameras={
            name: {
                "model": camera.model,
                "params": dict(zip(camera.param_names, camera.params.tolist())),
                "params_std": dict(zip(camera.param_names, std.tolist())),
                "rotation_wxyz": pose.quaternion().tolist(),
                "translation": pose.translation.tolist(),
                "pose_std": pose_std.tolist(),
            }
            for name, camera, std, pose, pose_std in zip(
                names, rig.cameras, rig.params_std, rig.cam_from_first, rig.pose_std
            )
        },
        board=boards[0].target.label,
        moments=len(rig.moments),
        shared_moments=len(rig.shared_moments),
        joint_rms_px=rig.rms_px,
        epipolar_rms_px={f"{names[a]}, {names[b]}": px for (a, b), px in rig.epipolar_rms_px.items()},
        apart=[{"photos": [name for _, name in photos], "px": px} for photos, px in rig.apart.items()],
        formats=formats,
    )
    return 0


@contextmanager
def _named(camera: str) -> Iterator[None]:
    """Say of which camera an error is."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{camera}: {error}") from error


def rig_names(photos: tuple[str, ...]) -> list[str]:
    """What the cameras are called: by folder, or by what a pattern begins with; numbered where that tells nothing."""
    names = []
    for given in photos:
        path = Path(given)
        stem = re.sub(r"[*?\[].*", "", path.name) if re.search(r"[*?\[]", path.name) else path.stem
        names.append(re.sub(r"[^\w-]+", "_", stem or path.parent.name).strip("_-"))
    if "" in names or len(set(names)) < len(names) or {"rig", "camera"} & set(names):
        return [f"cam{c}" for c in range(len(photos))]
    return names


def _entry(
    rig: RigCalibration,
    number: int,
    found: FoundBoards,
    name: str,
    lens: tuple[HeldOut | None, list[HeldOut]],
    options: Options,
) -> CameraEntry:
    chosen, tried = lens
    measures = measure_photos(found)
    evidence = evidence_of_rig(rig, number, found, name, measures=measures, metric=metric(options))
    used = [view.name for view in evidence.views]
    held_out = None if chosen is None else held_out_rms(chosen, found, used)
    return CameraEntry(replace(evidence, tried=tried, held_out_rms_px=held_out), found.photos)


def _say_rig(rig: RigCalibration, names: list[str], metric: bool, session: Session) -> None:
    unit, scale = ("mm", 1000.0) if metric else ("units of the board", 1.0)
    if not rig.by_name:
        session.say("names do not tell which photos were taken together; what they show does")
    for name, pose, std, length, length_std in zip(
        names[1:], rig.cam_from_first[1:], rig.pose_std[1:], rig.baselines_m[1:], rig.baselines_std_m[1:]
    ):
        turn = np.degrees(np.linalg.norm(SO3(pose.rotation).log()))
        session.say(
            f"{name}: {scale * length:.5g} +- {scale * length_std:.2g} {unit} from {names[0]}, turned by {turn:.3f} +- "
            f"{np.degrees(np.linalg.norm(std[:3])):.2g} degrees"
        )
    session.say(
        f"{rig.rms_px:.3f} px over all corners, {len(rig.shared_moments)} moments seen by several cameras"
    )
    for (a, b), px in rig.epipolar_rms_px.items():
        session.say(
            f"{names[a]} and {names[b]}: corners {px:.3f} px off each other's epipolar lines (Sampson)"
        )
    for photos, px in rig.apart.items():
        session.say(
            f"  {', '.join(name for _, name in photos)} were not taken at the same moment: they disagree by {px:.2f} "
            "px; each counts for its lens only"
        )
