"""The report of a reconstruction: one HTML file that stands alone, for a reader who is no expert.

Nothing is loaded from a network: style, script, thumbnails and points lie in the file. Sections are made by
`report_sections` and `report_place`, charts by `charts`, the page around them by `page`, the interactive map's data by
`report_map`.
"""

from __future__ import annotations

import os
from pathlib import Path

from geo3d.util.files import write_text
from geo3d.viz import report_sections as sections
from geo3d.viz.page import page
from geo3d.viz.report_data import MatchGraph as MatchGraph
from geo3d.viz.report_data import ReportData as ReportData
from geo3d.viz.report_data import Unregistered as Unregistered
from geo3d.viz.report_map import map_section
from geo3d.viz.report_place import place_section
from geo3d.viz.summary import reprojection_errors, summarize

_HERE = Path(__file__).parent


def write_report(path: str | os.PathLike, data: ReportData) -> None:
    """Write a self-contained HTML file (no network, light and dark), atomically.

    Parameters
    ----------
    path : path-like
        The file to write.
    data : ReportData
        What it shows.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    write_text(path, render_report(data))


def render_report(data: ReportData) -> str:
    """The report as HTML."""
    errors = [reprojection_errors(model) for model in data.components]
    models = [summarize(model, error) for model, error in zip(data.components, errors)]
    view = sections.ReportView(data, models, errors)
    body = [
        sections.headline(view),
        sections.warnings(view),
        map_section(data),
        place_section(data),
        sections.photos(view),
        sections.errors(view),
        sections.matches(view),
        sections.cameras(view),
        sections.timings(view),
        sections.words(),
    ]
    return page(data.title, body, (_HERE / "report.js").read_text(encoding="utf-8"))
