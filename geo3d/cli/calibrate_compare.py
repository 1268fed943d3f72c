"""`geo3d calibrate --compare A B`: by how many pixels two calibrations differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from geo3d.calibration import compare
from geo3d.cli.common import Session, existing_file
from geo3d.io import read_calibration
from geo3d.viz.calibration_compare import write_comparison_png

if TYPE_CHECKING:
    from geo3d.cli.calibrate import Options


def compare_files(options: Options, session: Session) -> int:
    """Say how two calibrations differ, and draw the map."""
    assert options.compare is not None
    a, b = (
        read_calibration(existing_file(path, "--compare", "a calibration, as camera.json"))
        for path in options.compare
    )
    found = compare(a, b)
    options.out.mkdir(parents=True, exist_ok=True)
    picture = options.out / "difference.png"
    write_comparison_png(picture, found)
    for line in found.describe():
        session.say(line)
    session.say(f"map: {picture}")
    far = found.difference_px
    session.result(
        out=str(picture),
        median_px=float(np.nanmedian(far)),
        largest_px=float(np.nanmax(far)),
        trusted_median_px=float(np.nanmedian(far[found.trusted])),
        rotation_deg=found.rotation_deg,
    )
    return 0
