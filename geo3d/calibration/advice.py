"""Is a calibration good enough, for what, and what would make it better: in sentences, each with a number.

Two uses are judged, by limits that follow from what comes after:

- Structure from motion finds features to half a pixel to one. A calibration whose error and uncertainty are below a
  pixel is not what limits it; two parts of the image without corners can be borne, since most features lie elsewhere.
- Dense stereo searches along rows and finds a disparity to about a quarter of a pixel. Rows have to coincide to half a
  pixel, the projection has to be known to a quarter, and over the whole image, since all of it is matched.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.calibration.advice_rules import LEAST_REACH, NINTHS, RULES, edge_shift_px, far_end, listed
from geo3d.calibration.coverage import Coverage, measure_coverage
from geo3d.calibration.evidence import CameraEvidence

UNCERTAINTY_PERCENTILE = 95.0


@dataclass(frozen=True)
class Verdict:
    """Whether a calibration is good enough for a use.

    Attributes
    ----------
    use : str
        `structure from motion` or `stereo`.
    good : bool
    text : str
        The sentence that says so, with the figures and their limits.
    """

    use: str
    good: bool
    text: str


@dataclass(frozen=True)
class Advice:
    """What to know of a calibration, one sentence each.

    Attributes
    ----------
    problems : list of str
        What spoils the result or leaves it unknown.
    hints : list of str
        What would make it better.
    fine : list of str
        What is as it should be.
    verdicts : list of Verdict
        For structure from motion, and for stereo.
    """

    problems: list[str]
    hints: list[str]
    fine: list[str]
    verdicts: list[Verdict]


@dataclass(frozen=True)
class _Limits:
    use: str
    error_px: float
    error_why: str
    uncertainty_px: float
    uncertainty_why: str
    ninths: int
    reach: float


_USES = (
    _Limits(
        "structure from motion",
        1.0,
        "features are found to half a pixel to one",
        1.0,
        "as the noise of features",
        7,
        0.0,
    ),
    _Limits(
        "stereo",
        0.5,
        "rows of the two images have to coincide to half a pixel",
        0.25,
        "disparities are found to a quarter of a pixel",
        9,
        LEAST_REACH,
    ),
)


def advise(evidence: CameraEvidence) -> Advice:
    """What is missing, what would help, and what the calibration is good for.

    Parameters
    ----------
    evidence : CameraEvidence

    Returns
    -------
    Advice

    Raises
    ------
    ValueError
        If there is not one photo.
    """
    if not evidence.views:
        raise ValueError("evidence: expected one photo and more, got none")
    coverage = measure_coverage(evidence)
    found = [finding for rule in RULES for finding in rule(evidence, coverage)]
    problems, hints, fine = (
        [text for grade, text in found if grade == wanted] for wanted in ("problem", "hint", "fine")
    )
    return Advice(problems, hints, fine, [_judge(evidence, coverage, limits) for limits in _USES])


def typical_uncertainty_px(evidence: CameraEvidence) -> float | None:
    """Standard deviation of the projection below which 95 % of what the lens shows is, pixels; None if not known."""
    grid = evidence.shown_uncertainty_px
    return None if grid is None else float(np.nanpercentile(grid, UNCERTAINTY_PERCENTILE))


def _judge(evidence: CameraEvidence, coverage: Coverage, limits: _Limits) -> Verdict:
    """Good if all checks hold; else those that fail are said."""
    checks = [_error(evidence, limits), _uncertainty(evidence, limits), _ninths(coverage, limits)]
    if limits.reach:
        checks.append(
            (
                coverage.reach >= limits.reach,
                f"the board reaches {100 * coverage.reach:.0f} % of the way to the {far_end(evidence)} (at least "
                f"{100 * limits.reach:.0f} %)",
            )
        )
    failed = [text for good, text in checks if not good]
    if failed:
        return Verdict(limits.use, False, f"Not good enough for {limits.use}: {'; '.join(failed)}.")
    return Verdict(
        limits.use, True, f"Good enough for {limits.use}: {'; '.join(text for _, text in checks)}."
    )


def _error(evidence: CameraEvidence, limits: _Limits) -> tuple[bool, str]:
    held = evidence.held_out_rms_px
    error, where = (evidence.rms_px, "of the fit") if held is None else (held, "in photos held out")
    return (
        error <= limits.error_px,
        f"the error {where} is {error:.2f} px (at most {limits.error_px:g}: {limits.error_why})",
    )


def _uncertainty(evidence: CameraEvidence, limits: _Limits) -> tuple[bool, str]:
    known = typical_uncertainty_px(evidence)
    if known is None:
        what, known = "the focal length alone leaves the edge of the image uncertain", edge_shift_px(evidence)
    else:
        what = f"over {UNCERTAINTY_PERCENTILE:.0f} % of the image the projection is certain"
    return (
        known <= limits.uncertainty_px,
        f"{what} to {known:.2g} px (at most {limits.uncertainty_px:g}: {limits.uncertainty_why})",
    )


def _ninths(coverage: Coverage, limits: _Limits) -> tuple[bool, str]:
    visible = coverage.visible.ravel()
    empty = [n for n, count, seen in zip(NINTHS, coverage.ninths.ravel(), visible) if seen and not count]
    covered, total = int(visible.sum()) - len(empty), int(visible.sum())
    least = min(limits.ninths, total)
    missing = f", none in {listed(empty, 9)}" if empty else ""
    return (
        covered >= least,
        f"the board was seen in {covered} of {total} ninths of the image{missing} (at least {least})",
    )
