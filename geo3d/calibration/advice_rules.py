"""What can be said of a calibration: each rule looks at one thing, and says a number and what to do about it.

A rule yields findings, each a grade and a sentence: "problem" is what spoils the result or leaves it unknown, "hint"
what would make it better, "fine" what is as it should be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import numpy as np

from geo3d.calibration.coverage import SIDES, Coverage, ResidualCells, residual_cells
from geo3d.calibration.evidence import CameraEvidence
from geo3d.calibration.targets import CircleGrid
from geo3d.cameras import MODELS

Grade = Literal["problem", "hint", "fine"]
Finding = tuple[Grade, str]
Rule = Callable[[CameraEvidence, Coverage], Iterator[Finding]]

NINTHS = ("top left", "top", "top right", "left", "middle", "right", "bottom left", "bottom", "bottom right")
LEAST_REACH = 0.85  # r^3 at the image's corner is then at most 1.6 times that at the farthest corner found
_THIN = 10  # corners in a ninth
_FEW_PHOTOS, _ENOUGH_PHOTOS = 8, 15
_LEAST_TILTED = 4  # photos; and of each side:
_LEAST_OF_SIDE = 2
_LEAST_DISTANCE_RATIO = 1.5
_LEAST_SHARE = 0.08  # of the image
_FOCAL_STD = (0.003, 0.01)  # of the focal length: hint, problem
_MOST_BOW_M, _MOST_BOW_SHARE = 0.002, 0.008  # 2 mm of an A4 sheet are 0.8 % of its length
_MOST_ERROR_PX = 1.0
_MOST_GAP = 1.3  # of the error held out to that of the fit
_PHOTO_FACTOR = 2.5  # of a photo's error to the usual one
_BLUR_PX, _BLUR_FACTOR = 1.5, 2.0
_PATTERN_FACTOR, _LEAST_PATTERN_PX = 1.5, 0.05
_MOST_CORNERS_OFF = 0.01
_NAMED = 4
_RICHER = ("OPENCV_FISHEYE", "FULL_OPENCV", "THIN_PRISM_FISHEYE")


def listed(names: Sequence[str], most: int = _NAMED) -> str:
    """`a, b, c and 4 more`.

    Parameters
    ----------
    names : sequence of str
    most : int
        How many are named.
    """
    if len(names) <= most:
        return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def photos(count: int) -> str:
    """`1 photo`, `3 photos`."""
    return f"{count} photo{'' if count == 1 else 's'}"


def edge_shift_px(evidence: CameraEvidence) -> float:
    """Shift of a point at the middle of the image's edge when the focal length is off by one standard deviation."""
    return focal_deviation(evidence) * evidence.camera.width / 2


def focal_deviation(evidence: CameraEvidence) -> float:
    """Standard deviation of the focal length (the larger of the two) as a share of it."""
    at = list(MODELS[evidence.camera.model].focal_params)
    return float(np.max(evidence.params_std[at] / evidence.camera.params[at])) if at else 0.0


def far_end(evidence: CameraEvidence) -> str:
    """What lies farthest from the optical centre, in words.

    Parameters
    ----------
    evidence : CameraEvidence
    """
    circle = evidence.lit is not None and not evidence.lit.all()
    return "edge of what the lens shows" if circle else "corner of the image"


def ninths(evidence: CameraEvidence, coverage: Coverage) -> Iterator[Finding]:
    """Corners in each ninth of the image."""
    counts = coverage.ninths.ravel()
    seen = coverage.visible.ravel()
    empty = [name for name, count, visible in zip(NINTHS, counts, seen) if visible and count == 0]
    thin = [
        f"{name} ({count})"
        for name, count, visible in zip(NINTHS, counts, seen)
        if visible and 0 < count < _THIN
    ]
    if empty:
        yield (
            "problem",
            f"No point of the board lies in {_ninth(empty)} of the image: what the lens does there is a guess. Add "
            f"four tilted photos with the board {'there' if len(empty) == 1 else 'in each of them'}.",
        )
    if thin:
        yield (
            "hint",
            f"Fewer than {_THIN} points of the board lie in {_ninth(thin)} of the image: add two tilted photos "
            f"with the board {'there' if len(thin) == 1 else 'in each of them'}.",
        )
    if not empty and not thin:
        yield (
            "fine",
            f"Points of the board lie in every ninth of the image, {counts[seen].min()} at the least.",
        )


def _ninth(names: list[str]) -> str:
    return f"the {listed(names, 9)} ninth{'' if len(names) == 1 else 's'}"


def reach(evidence: CameraEvidence, coverage: Coverage) -> Iterator[Finding]:
    """How far the points go towards the corners of the image."""
    share, end = 100 * coverage.reach, far_end(evidence)
    if coverage.reach >= LEAST_REACH:
        yield "fine", f"The board reaches {share:.0f} % of the way from the optical centre to the {end}."
        return
    how = (
        "as far out as the whole grid stays in the photo"
        if isinstance(evidence.target, CircleGrid)
        else "so far out that a part of it is cut off"
    )
    yield (
        "hint",
        f"The farthest point of the board lies {share:.0f} % of the way from the optical centre to the {end}; farther "
        f"out the distortion is extrapolated. Add four photos, one for each corner, with the board {how}.",
    )


def tilts(evidence: CameraEvidence, coverage: Coverage) -> Iterator[Finding]:
    """Tilts to all four sides."""
    tilted = int(coverage.tilted_to.any(axis=1).sum())
    counts = dict(zip(SIDES, coverage.tilted_to.sum(axis=0).tolist()))
    lacking = [side for side, count in counts.items() if count < _LEAST_OF_SIDE]
    said = f"{photos(tilted)} of {len(evidence.views)} show the board tilted by 20 degrees or more"
    sides = ", ".join(f"{side} {count}" for side, count in counts.items())
    never = counts["left"] + counts["right"] == 0 or counts["top"] + counts["bottom"] == 0
    if not lacking:
        yield "fine", f"{said}, to all sides (edge that is nearer: {sides})."
        return
    yield (
        "problem" if tilted < _LEAST_TILTED or never else "hint",
        f"{said} (edge that is nearer: {sides}). Tilt is what tells focal length from distance: add three photos, "
        f"tilted by 30 to 45 degrees, with the {listed(lacking)} edge of the board nearer"
        + (" (three for each)." if len(lacking) > 1 else "."),
    )


def distances(evidence: CameraEvidence, coverage: Coverage) -> Iterator[Finding]:
    """Near and far."""
    near, far = float(coverage.distances_m.min()), float(coverage.distances_m.max())
    scale, unit = (1.0, "m") if evidence.metric else (max(evidence.target.size_m), "times the board's length")
    said = f"The board was between {near / scale:.2g} and {far / scale:.2g} {unit} away"
    if far / near >= _LEAST_DISTANCE_RATIO:
        yield "fine", f"{said}."
    else:
        yield (
            "hint",
            f"{said}, only {far / near:.2f} times as far as near. Add four photos from {0.6 * near / scale:.2g} and "
            f"four from {1.6 * far / scale:.2g} {unit} (refocus for none of them).",
        )


def count(evidence: CameraEvidence, coverage: Coverage) -> Iterator[Finding]:
    """Number of photos."""
    n = len(evidence.views)
    if n >= _ENOUGH_PHOTOS:
        yield "fine", f"{photos(n)} are used, with {len(evidence.pixels):,} points of the board."
    else:
        yield (
            "problem" if n < _FEW_PHOTOS else "hint",
            f"Only {photos(n)} {'is' if n == 1 else 'are'} used: add {_ENOUGH_PHOTOS - n} or more, so that they are "
            f"{_ENOUGH_PHOTOS} to 30.",
        )


def board_size(evidence: CameraEvidence, coverage: Coverage) -> Iterator[Finding]:
    """How large the board is in the image."""
    share = float(np.median(coverage.shares))
    if share >= _LEAST_SHARE:
        yield "fine", f"The board spans {100 * share:.0f} % of the image in the median photo."
    else:
        yield (
            "hint",
            f"The board spans {100 * share:.1f} % of the image in the median photo: go nearer, or take a larger board, "
            "until it spans a fifth and more in most.",
        )


def focal_length(evidence: CameraEvidence, coverage: Coverage) -> Iterator[Finding]:
    """Deviation of the focal length."""
    hint, problem = _FOCAL_STD
    share = focal_deviation(evidence)
    if not share:
        return
    said = (
        f"The focal length is known to {100 * share:.2g} % (one standard deviation), which is "
        f"{edge_shift_px(evidence):.2g} pixels at the edge of the image"
    )
    if share <= hint:
        yield "fine", f"{said}."
    else:
        yield (
            "problem" if share > problem else "hint",
            f"{said}: add six photos with the board tilted by 30 to 45 degrees, until it is {100 * hint:g} %.",
        )


def bow(evidence: CameraEvidence, coverage: Coverage) -> Iterator[Finding]:
    """How flat the board is."""
    if not len(evidence.shape):
        return
    share = evidence.bow_m / max(evidence.target.size_m)
    found = f"{1000 * evidence.bow_m:.1f} mm" if evidence.metric else f"{100 * share:.2g} % of its length"
    if evidence.bow_m > _MOST_BOW_M if evidence.metric else share > _MOST_BOW_SHARE:
        yield (
            "hint",
            f"The board is bowed or twisted by {found}, more than "
            + (f"{1000 * _MOST_BOW_M:g} mm" if evidence.metric else f"{100 * _MOST_BOW_SHARE:g} %")
            + ": that was estimated and is taken into account, but only if it was the same in all photos. Glue it on "
            "something flat and stiff, as glass.",
        )
    else:
        yield "fine", f"The board is flat to {found}."


def blur(evidence: CameraEvidence, coverage: Coverage) -> Iterator[Finding]:
    """Blurred photos."""
    measured = {v.name: v.blur_px for v in evidence.views if v.blur_px is not None}
    if not measured:
        return
    usual = float(np.median(list(measured.values())))
    limit = max(_BLUR_PX, _BLUR_FACTOR * usual)
    bad = sorted(
        (name for name, value in measured.items() if value > limit), key=lambda name: -measured[name]
    )
    if usual > _BLUR_PX:
        yield (
            "hint",
            f"The photos are blurred by {usual:.1f} pixels (median): hold the camera still, give more light, and focus "
            f"on the board's distance; {_BLUR_PX:g} and less is sharp.",
        )
    if bad:
        yield (
            "hint",
            f"{photos(len(bad))} {'is' if len(bad) == 1 else 'are'} blurred by more than {limit:.1f} pixels, the "
            f"others by {usual:.1f}: take {listed([f'{name} ({measured[name]:.1f})' for name in bad])} again.",
        )
    elif usual <= _BLUR_PX:
        yield "fine", f"All photos are sharp: blurred by {max(measured.values()):.1f} pixels at the most."


def left_out(evidence: CameraEvidence, coverage: Coverage) -> Iterator[Finding]:
    """Photos that are not used, by reason."""
    reasons: dict[str, list[str]] = {}
    for name, reason in evidence.left_out.items():
        reasons.setdefault(reason, []).append(name)
    many = len(evidence.left_out) > len(evidence.views)
    for reason, names in reasons.items():
        yield (
            "problem" if many else "hint",
            f"{photos(len(names))} {'is' if len(names) == 1 else 'are'} not used ({reason}): {listed(names)}. Where "
            "one should count, take it again: sharp, evenly lit, the board flat and its white rim in view.",
        )
    off = float(1 - evidence.used.mean())
    if off > _MOST_CORNERS_OFF:
        per_photo = {v.name: 0 if v.used is None else int(np.sum(~v.used)) for v in evidence.views}
        worst = sorted((n for n in per_photo if per_photo[n]), key=lambda n: -per_photo[n])
        yield (
            "hint",
            f"{int((~evidence.used).sum())} of {len(evidence.used)} points ({100 * off:.1f} %) are too far off and "
            f"have no say: look for reflexes, fingers and dirt on the board in {listed(worst)}.",
        )


def errors(evidence: CameraEvidence, coverage: Coverage) -> Iterator[Finding]:
    """Size of the errors, of the fit, of photos held out, and of single photos."""
    held, fit = evidence.held_out_rms_px, evidence.rms_px
    error, where = (fit, "of the fit") if held is None else (held, "in photos held out")
    if error > _MOST_ERROR_PX:
        yield (
            "problem",
            f"The error {where} is {error:.2f} pixels, where sharp photos of a flat board give 0.1 to 0.3. Look "
            "whether zoom or focus changed between the photos, the board is bent, or the camera moved while it "
            "exposed.",
        )
    if held is not None and held > _MOST_GAP * fit:
        yield (
            "hint",
            f"The error in photos held out is {held / fit:.1f} times that of the fit ({held:.3f} against {fit:.3f} "
            "pixels): the fit follows its own photos too closely. Add ten photos, or take a lens model of fewer "
            "parameters.",
        )
    rms = evidence.photo_rms_px()
    usual = float(np.median(rms))
    bad = [i for i in np.argsort(-rms) if rms[i] > max(_PHOTO_FACTOR * usual, 0.2)]
    if bad:
        yield (
            "hint",
            f"{photos(len(bad))} {'has an error' if len(bad) == 1 else 'have errors'} of more than "
            f"{_PHOTO_FACTOR:g} times the usual {usual:.2f} pixels: look at "
            + listed([f"{evidence.views[i].name} ({rms[i]:.2f})" for i in bad])
            + " for blur and reflexes, and take such photos again.",
        )
    elif error <= _MOST_ERROR_PX:
        yield "fine", f"The error {where} is {error:.2f} pixels, and no photo stands out."


def has_pattern(cells: ResidualCells) -> bool:
    """Whether mean residuals over cells of the image are larger than chance makes them.

    Parameters
    ----------
    cells : ResidualCells
    """
    size, chance = cells.pattern
    return size > _PATTERN_FACTOR * chance and size > _LEAST_PATTERN_PX


def pattern(evidence: CameraEvidence, coverage: Coverage) -> Iterator[Finding]:
    """Errors that are alike in a part of the image."""
    cells = residual_cells(evidence)
    size, chance = cells.pattern
    if not has_pattern(cells):
        if size:
            yield "fine", "The errors have no pattern over the image: the lens model follows the lens."
        return
    params, tried = len(evidence.camera.params), {entry.model for entry in evidence.tried}
    richer = [model for model in _RICHER if len(MODELS[model].param_names) > params and model not in tried]
    lens = "none of the lens models that were tried follows" if tried else "the lens model does not follow"
    yield (
        "hint",
        f"The errors have a pattern: their means over parts of the image are {size:.2f} pixels, where chance makes "
        f"{chance:.2f}. Either {lens} the lens"
        + (f" (compare with --model {' or '.join(richer)})" if richer else "")
        + ", or the board was bent differently in different photos (glue it on something stiff).",
    )


RULES: tuple[Rule, ...] = (
    ninths, reach, tilts, focal_length, distances, count, board_size, errors, pattern, bow, blur, left_out,
)  # fmt: skip
