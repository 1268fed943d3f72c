"""The sections of a calibration's report in words and tables. Every number comes with a sentence on what it means."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from geo3d.calibration import Advice, CameraEvidence, Coverage, HeldOut, advise, measure_coverage
from geo3d.calibration.advice import UNCERTAINTY_PERCENTILE, typical_uncertainty_px
from geo3d.calibration.advice_rules import far_end, focal_deviation
from geo3d.cameras import MODELS
from geo3d.viz.calibration_report_data import CameraEntry
from geo3d.viz.page import escaped, grade_of, table, tile
from geo3d.viz.summary import two_digits

_STRONG = 0.9  # of a correlation
_MOST_PAIRS = 12
_LONGEST_BAR = 4.0  # of the least error


@dataclass(frozen=True, eq=False)
class CameraView:
    """A camera's entry with the figures made from it."""

    entry: CameraEntry

    @property
    def evidence(self) -> CameraEvidence:
        """What was found."""
        return self.entry.evidence

    @cached_property
    def coverage(self) -> Coverage:
        """Where the board was seen."""
        return measure_coverage(self.evidence)

    @cached_property
    def advice(self) -> Advice:
        """What to know."""
        return advise(self.evidence)

    @property
    def error(self) -> tuple[float, str]:
        """The error that counts, pixels, and of what it is."""
        held = self.evidence.held_out_rms_px
        return (self.evidence.rms_px, "of the fit") if held is None else (held, "in photos held out")


def headline(title: str, views: list[CameraView], figures: list[str]) -> str:
    """Title, whether it is good, and the tiles of the first sight.

    Parameters
    ----------
    title : str
    views : list of CameraView
    figures : list of str
        Tiles, HTML.
    """
    return f"""<header>
<p class="brand">geo3d &middot; calibration report</p>
<h1>{escaped(title)}</h1>
{verdicts(views[0]) if len(views) == 1 else _verdicts_of_all(views)}
</header>
<div class="tiles">{"".join(figures)}</div>"""


def verdicts(view: CameraView) -> str:
    """Whether a camera's calibration is good enough, and why.

    Parameters
    ----------
    view : CameraView
    """
    return "".join(_verdict(verdict.good, verdict.text) for verdict in view.advice.verdicts)


def _verdicts_of_all(views: list[CameraView]) -> str:
    lines = []
    for judged in zip(*(view.advice.verdicts for view in views)):
        bad = [view.evidence.name for view, verdict in zip(views, judged) if not verdict.good]
        use = judged[0].use
        if bad:
            lines.append(
                _verdict(False, f"Not good enough for {use}: {', '.join(bad)}. Why is said with each.")
            )
        else:
            lines.append(_verdict(True, f"All {len(views)} cameras are good enough for {use}."))
    return "".join(lines)


def _verdict(good: bool, text: str) -> str:
    return f'<p class="verdict use {"yes" if good else "no"}">{escaped(text)}</p>'


def tiles(view: CameraView) -> list[str]:
    """Figures of one camera.

    Parameters
    ----------
    view : CameraView
    """
    evidence, camera = view.evidence, view.evidence.camera
    error, where = view.error
    used, total = len(evidence.views), len(evidence.views) + len(evidence.left_out)
    known = typical_uncertainty_px(evidence)
    visible = view.coverage.visible
    covered = int((view.coverage.ninths[visible] > 0).sum())
    focal = camera.mean_focal
    wide = np.rad2deg(camera.field_of_view()[0])
    bow = (
        f"{1000 * evidence.bow_m:.2f}<small> mm</small>"
        if evidence.metric
        else (f"{100 * evidence.bow_m / max(evidence.target.size_m):.2f}<small> % of its length</small>")
    )
    found = [
        tile(
            f"Error {where}",
            f"{error:.3f}<small> px</small>",
            "Distance between where the camera puts a point of the board and where the photo shows it (root mean "
            "square)"
            + (
                ", in photos that the camera was not fitted to."
                if evidence.held_out_rms_px is not None
                else ". It flatters: the camera was fitted to these photos."
            ),
            grade_of(-error, -0.5, -1.0),
        ),
        tile(
            "Focal length",
            f"{focal:.1f}<small> px &plusmn; {100 * focal_deviation(evidence):.2g} %</small>",
            f"The lens sees {wide:.0f} degrees across. A deviation of a tenth of a per cent is good.",
            grade_of(-focal_deviation(evidence), -0.003, -0.01),
        ),
        tile(
            "Photos used",
            f"{used}<small> of {total}</small>",
            f"They show {len(evidence.pixels):,} points of the board.",
            grade_of(used, 15, 8),
        ),
        tile(
            "Image covered",
            f"{covered}<small> of {int(visible.sum())} ninths</small>",
            f"Farthest point: {100 * view.coverage.reach:.0f} % of the way from the optical centre to the "
            f"{far_end(evidence)}. Where no point was, the lens is a guess.",
            grade_of(covered / max(int(visible.sum()), 1), 1.0, 7 / 9),
        ),
        tile(
            "Board flat to",
            bow,
            "From the nearest to the farthest point of its face: how far it is from flat.",
        ),
    ]
    if known is not None:
        found.insert(
            1,
            tile(
                "Projection known to",
                f"{known:.2g}<small> px</small>",
                f"Over {UNCERTAINTY_PERCENTILE:.0f} % of the image, one standard deviation: what the noise of "
                "the points leaves open.",
                grade_of(-known, -0.25, -1.0),
            ),
        )
    return found


def advice(view: CameraView) -> str:
    """What to do, and what is fine.

    Parameters
    ----------
    view : CameraView
    """
    told = view.advice
    lines = "".join(f'<li class="bad">{escaped(line)}</li>' for line in told.problems)
    lines += "".join(f"<li>{escaped(line)}</li>" for line in told.hints)
    fine = "".join(f"<li>{escaped(line)}</li>" for line in told.fine)
    todo = f"<ul>{lines}</ul>" if lines else "<p>Nothing: all that is looked at is as it should be.</p>"
    if fine:
        count = f'<span class="count">{len(told.fine)}</span>'
        todo += f"<details><summary>What is fine {count}</summary><ul>{fine}</ul></details>"
    state = " poor" if told.problems else "" if told.hints else " fine"
    return f'<section class="callout{state}"><h2>What would make it better</h2>{todo}</section>'


def parameters(view: CameraView) -> str:
    """The lens: parameters with deviations, and those that can stand for each other.

    Parameters
    ----------
    view : CameraView
    """
    evidence, camera = view.evidence, view.evidence.camera
    held = MODELS[camera.model].splined
    rows = [
        [
            escaped(name),
            f"{value:.6g}",
            f"&plusmn; {two_digits(std)}" if std > 0 and not held else "-",
            escaped(_meaning(name)),
        ]
        for name, value, std in zip(camera.param_names, camera.params, evidence.params_std)
    ][: 4 if held else None]
    if held:
        rows.append([f"{(len(camera.params) - 4) // 2} knots", "-", "-", "a surface that moves the pixels"])
    heads = ["parameter", "value", "deviation", "what it is"]
    body = "".join(
        f"<tr><td>{r[0]}</td><td class=n>{r[1]}</td><td class=n>{r[2]}</td><td>{r[3]}</td></tr>" for r in rows
    )
    top = "".join(f"<th{' class=n' if i in (1, 2) else ''}>{h}</th>" for i, h in enumerate(heads))
    return f"""<section><h2>The lens: {escaped(camera.model)}</h2>
<p class="lead">{camera.width} x {camera.height} pixels; the centre of the top left pixel is (0.5, 0.5). The deviation
is one standard deviation: the true value lies within it two times out of three.</p>
<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>
{_correlations(evidence)}</section>"""


def _correlations(evidence: CameraEvidence) -> str:
    found, names = evidence.correlations, evidence.camera.param_names
    if found is None or MODELS[evidence.camera.model].splined:
        return ""
    pairs = [(i, j) for i in range(len(names)) for j in range(i) if abs(found[i, j]) > _STRONG]
    if not pairs:
        return f"<p class=note>No two parameters are correlated by more than {_STRONG}: each can be read by itself.</p>"
    pairs.sort(key=lambda pair: -abs(found[pair]))
    said = ", ".join(
        f"{escaped(names[j])} and {escaped(names[i])} ({found[i, j]:+.3f})" for i, j in pairs[:_MOST_PAIRS]
    )
    more = f" and {len(pairs) - _MOST_PAIRS} more pairs" if len(pairs) > _MOST_PAIRS else ""
    return (
        f"<p class=note>Strongly correlated: {said}{more}. Such parameters make up for each other, so that "
        "each is known worse than what they do together; don't compare them one by one with those of another "
        "calibration.</p>"
    )


def _meaning(name: str) -> str:
    exact = {
        "f": "focal length, pixels",
        "fx": "focal length across, pixels",
        "fy": "focal length down, pixels",
        "cx": "optical centre from the left, pixels",
        "cy": "optical centre from the top, pixels",
        "alpha": "how the projection bends",
        "beta": "how the projection bends",
        "xi": "distance of the two spheres of the model",
        "omega": "field of view of the model",
    }
    kinds = {"k": "distortion along the radius", "p": "distortion by a tilted lens", "s": "thin prism"}
    return exact.get(name) or kinds.get(name[:1], "distortion")


def models(view: CameraView) -> str:
    """Lens models that were tried, and shapes of the board.

    Parameters
    ----------
    view : CameraView
    """
    tried, taken = view.evidence.tried, view.evidence.camera.model
    if not tried:
        return ""
    lenses = list({entry.model: entry for entry in reversed(tried)}.values())  # the first of each
    shapes = [entry for entry in tried if entry.model == taken]
    lens_rows = [
        _Tried(entry.model, str(entry.params), entry, entry.model == taken)
        for entry in sorted(lenses, key=lambda entry: (entry.params, entry.model))
    ]
    shape_rows = [
        _Tried(
            "flat" if entry.shape_terms == 0 else "bent",
            str(entry.shape_terms),
            entry,
            entry.shape_terms == len(view.evidence.shape),
        )
        for entry in sorted(shapes, key=lambda entry: entry.shape_terms)
    ]
    board = "" if len(shapes) < 2 else _SHAPES.format(model=escaped(taken), rows=_tried(shape_rows, "board"))
    return f"""<section><h2>Lens models that were tried</h2>
<p class="lead">Each model was fitted to half of the photos and tried on the other half: a lens of many parameters
follows its own photos well and others badly. Of those that are as good as the best, the simplest is taken.</p>
{_tried(lens_rows, "model")}{board}</section>"""


_SHAPES = """<h3>Shapes of the board, with {model}</h3>
<p class="lead">Taken are the most terms that are as good as the best: what the shape leaves out goes into the lens.</p>
{rows}"""


@dataclass(frozen=True)
class _Tried:
    name: str
    size: str
    entry: HeldOut
    taken: bool


def _tried(rows: list[_Tried], head: str) -> str:
    """What was tried, with bars; what is far worse than the best ends the scale."""
    errors = [row.entry.rms_px for row in rows if np.isfinite(row.entry.rms_px)]
    peak = min(max(errors, default=1.0), _LONGEST_BAR * min(errors, default=1.0))
    lines = []
    for row in rows:
        error = row.entry.rms_px
        note = f"refused: {row.entry.refused}" if row.entry.refused else "taken" if row.taken else ""
        bar = (
            f'<span class="fill" style="width:{100 * min(error, peak) / peak:.0f}%"></span>'
            if error < np.inf
            else ""
        )
        lines.append(
            f"<tr{' class=taken' if row.taken else ''}><td>{escaped(row.name)}</td><td class=n>{row.size}</td>"
            f"<td class=n>{f'{error:.3f} px' if error < np.inf else '-'}</td><td class=track>{bar}</td>"
            f"<td>{escaped(note)}</td></tr>"
        )
    return (
        f'<div class="scroll"><table class="models-tried"><thead><tr><th>{head}</th><th class=n>parameters</th>'
        f"<th class=n>error held out</th><th></th><th></th></tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def summary_table(views: list[CameraView]) -> str:
    """The cameras beside each other, where there are several.

    Parameters
    ----------
    views : list of CameraView
    """
    if len(views) < 2:
        return ""
    rows = [
        [
            escaped(view.evidence.name),
            escaped(view.evidence.camera.model),
            f"{view.evidence.camera.width} x {view.evidence.camera.height}",
            f"{view.evidence.camera.mean_focal:.2f} &plusmn; {100 * focal_deviation(view.evidence):.2g} %",
            str(len(view.evidence.views)),
            f"{view.error[0]:.3f}",
        ]
        for view in views
    ]
    heads = ["camera", "lens model", "size", "focal length, px", "photos", "error, px"]
    return f"<section><h2>Cameras</h2>{table(heads, rows, words=2)}</section>"
