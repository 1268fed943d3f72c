"""`geo3d calibrate PHOTOS`: one camera."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from geo3d.calibration import (
    LEAST_TO_CHOOSE,
    CalibrateOptions,
    Calibration,
    FoundBoards,
    HeldOut,
    advise,
    calibrate,
    choose_model,
    choose_shape,
    evidence_of,
    find_boards,
    measure_photos,
    mixed_cameras,
    observe,
)
from geo3d.cli.calibrate_words import (
    as_told,
    given_target,
    metric,
    say_advice,
    say_board,
    say_camera,
    say_formats,
    say_models,
    say_shape,
    write_formats,
)
from geo3d.cli.common import Session, UsageError
from geo3d.io import write_camera_json
from geo3d.viz.calibration_report import CalibrationReportData, CameraEntry, write_calibration_report

if TYPE_CHECKING:
    from geo3d.calibration import Target
    from geo3d.cli.calibrate import Options


def calibrate_camera(options: Options, session: Session) -> int:
    """Detect, choose the model, fit, write, and say how good it is."""
    photos = options.photos[0]
    if len(options.photos) > 1:
        files = "; a pattern without quotes gives many: put it in quotes" if len(options.photos) > 3 else ""
        raise UsageError(
            f"{len(options.photos)} are given, {photos} first: of one camera give one folder, pattern or video; of "
            f"cameras that are fixed to each other add --rig{files}"
        )
    found = find(photos, options, session)
    say_board(found, options, session)
    notes = check_one_camera(found, session)
    chosen, tried = choose(found, options, session)
    with session.progress.stage("fit", total=0) as stage:
        done = fit(found, chosen, options)
        stage.summary = f"{done.rms_px:.3f} px over {len(done.names)} photos"
    with session.progress.stage("report", total=0) as stage:
        measures = measure_photos(found)
        evidence = evidence_of(done, found, tried=tried, measures=measures, metric=metric(options))
        unused = {name: found.detections[name] for name in done.left_out}
        entry = CameraEntry(evidence, found.photos, unused)
        data = CalibrationReportData(Path(photos).stem or photos, [entry], notes=notes)
        write_calibration_report(options.out / "report.html", data)
        stage.summary = str(options.out / "report.html")
    write_camera_json(options.out / "camera.json", done.camera)
    formats = write_formats(options.out, done.camera)
    advice = advise(evidence)
    if tried:
        say_models(tried, chosen, session)
    say_camera(done, session)
    say_shape(found.target, done.shape, metric(options), session)
    say_advice(advice, session)
    session.say(f"camera: {options.out / 'camera.json'}; use it as --calib {options.out / 'camera.json'}")
    session.say(f"report: {options.out / 'report.html'}")
    say_formats(formats, done.camera, tried, session)
    session.result(
        out=str(options.out / "camera.json"),
        report=str(options.out / "report.html"),
        model=done.camera.model,
        params=dict(zip(done.camera.param_names, done.camera.params.tolist())),
        params_std=dict(zip(done.camera.param_names, done.params_std.tolist())),
        width=found.width,
        height=found.height,
        board=found.target.label,
        shape_m=done.shape.tolist(),
        photos=len(done.names),
        rms_px=done.rms_px,
        held_out_rms_px=evidence.held_out_rms_px,
        problems=advice.problems,
        hints=advice.hints,
        warnings=notes,
        good_for={verdict.use: verdict.good for verdict in advice.verdicts},
        skipped=found.skipped,
        left_out=done.left_out,
        formats=formats,
    )
    return 0


def find(photos: str, options: Options, session: Session, target: Target | None = None) -> FoundBoards:
    """The board in the photos of one camera: the one given, or the one that they show."""
    target = target or given_target(options, photos)
    with session.progress.stage("detect", total=0) as stage:
        found = find_boards(photos, target, progress=stage.update)
        stage.summary = f"{len(found.detections)} photos show the board"
    return found if target is not None else replace(found, target=as_told(found.target, options))


def check_one_camera(found: FoundBoards, session: Session) -> list[str]:
    """Refuse photos of several cameras; what only their corners tell is a warning, given back for the report."""
    mixed = mixed_cameras(found)
    if mixed is None:
        return []
    if mixed.by != "corners":
        raise ValueError(mixed.message)
    session.say(f"warning: these look like {mixed.message}")
    return [f"These look like {mixed.message}."]


def choose(
    found: FoundBoards, options: Options, session: Session, name: str = ""
) -> tuple[HeldOut | None, list[HeldOut]]:
    """The lens model and the terms of the board's shape, and what was tried.

    Nothing where the model is given and there are too few photos to hold some out.
    """
    if options.model != "auto" and len(found.detections) < LEAST_TO_CHOOSE:
        return None, []
    _, observations = observe(found.detections, found.target)
    with session.progress.stage(f"choose {name}".strip(), total=0) as stage:
        if options.model == "auto":
            chosen, tried = choose_model(observations, found.width, found.height)
        else:
            chosen, tried = choose_shape(observations, found.width, found.height, options.model)
        stage.summary = f"{chosen.model}, {chosen.rms_px:.3f} px on photos held out"
    return chosen, tried


def fit(
    found: FoundBoards, chosen: HeldOut | None, options: Options, shape_terms: int | None = None
) -> Calibration:
    """The camera, of the model that was chosen or given, with the terms of the shape that were chosen or are given."""
    how = (
        CalibrateOptions(options.model)
        if chosen is None
        else CalibrateOptions(chosen.model, chosen.shape_terms)
    )
    how = how if shape_terms is None else replace(how, shape_terms=shape_terms)
    return calibrate(found.detections, found.target, found.width, found.height, how)
