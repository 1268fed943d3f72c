"""The report of a calibration: one HTML file that stands alone, for a reader who is no expert.

Sections in words and tables are made by `calibration_sections`, those of drawings by `calibration_figures`, the photos
by `calibration_photos`, what concerns a rig by `calibration_rig_section`, the page around them by `page`.
"""

from __future__ import annotations

import os

from geo3d.util.files import write_text
from geo3d.viz import calibration_figures as figures
from geo3d.viz import calibration_sections as sections
from geo3d.viz.calibration_photos import photo_cards
from geo3d.viz.calibration_report_data import CalibrationReportData as CalibrationReportData
from geo3d.viz.calibration_report_data import CameraEntry as CameraEntry
from geo3d.viz.calibration_report_data import RigEntry as RigEntry
from geo3d.viz.calibration_report_data import RigMoment as RigMoment
from geo3d.viz.calibration_report_data import rig_entry as rig_entry
from geo3d.viz.calibration_rig_section import rig_section, rig_tiles
from geo3d.viz.calibration_sections import CameraView
from geo3d.viz.page import escaped, page


def write_calibration_report(path: str | os.PathLike, data: CalibrationReportData) -> None:
    """Write a self-contained HTML file (no network, light and dark), atomically.

    Parameters
    ----------
    path : path-like
        The file to write.
    data : CalibrationReportData
        What it shows.

    Raises
    ------
    OSError
        If the file cannot be written, or the photo that is shown without distortion is gone.
    """
    write_text(path, render_calibration_report(data))


def render_calibration_report(data: CalibrationReportData) -> str:
    """The report as HTML."""
    views = [CameraView(entry) for entry in data.cameras]
    names = [view.evidence.name for view in views]
    metric = all(view.evidence.metric for view in views)
    several = len(views) > 1
    tiles = rig_tiles(data.rig, metric) if data.rig is not None else []
    notes = "".join(f"<li>{escaped(note)}</li>" for note in data.notes)
    parts = [
        sections.headline(data.title, views, tiles if several else tiles + sections.tiles(views[0])),
        f'<section class="callout"><h2>Good to know</h2><ul>{notes}</ul></section>' if notes else "",
        sections.summary_table(views),
        rig_section(data.rig, names, metric) if data.rig is not None else "",
    ]
    for view, name in zip(views, names):
        if several:
            parts.append(f'<h2 class="part">{escaped(name)}</h2>{sections.verdicts(view)}')
            parts.append(f'<div class="tiles">{"".join(sections.tiles(view))}</div>')
        parts += _camera(view)
    return page(data.title, parts)


def _camera(view: CameraView) -> list[str]:
    return [
        sections.advice(view),
        figures.coverage(view),
        figures.errors(view),
        sections.parameters(view),
        sections.models(view),
        figures.undistorted(view),
        figures.board(view),
        photo_cards(view),
    ]
