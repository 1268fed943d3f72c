"""The report of a reconstruction: one HTML file that stands alone, for a reader who is no expert."""

from __future__ import annotations

import os

from geo3d.viz.report_data import MatchGraph as MatchGraph
from geo3d.viz.report_data import ReportData as ReportData
from geo3d.viz.report_data import Unregistered as Unregistered


def write_report(path: str | os.PathLike, data: ReportData) -> None:
    """Write `data` as a self-contained HTML file (no network, light and dark), atomically."""
    raise NotImplementedError
