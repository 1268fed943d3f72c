"""The sections of the report as HTML. Every number comes with a sentence that says what it means."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.util.progress import format_seconds
from geo3d.viz.charts import Marker, bar_rows, error_histogram, heat_map, histogram
from geo3d.viz.page import escaped, grade_of, tile
from geo3d.viz.report_data import ReportData
from geo3d.viz.summary import ModelSummary, ViewSummary, two_digits
from geo3d.viz.thumbnails import thumbnails

_MAX_THUMBNAILS = 600
_MAX_ROWS = 40


@dataclass(frozen=True)
class ReportView:
    """The data together with the figures made from it."""

    data: ReportData
    models: list[ModelSummary]  # one a component
    errors: list[np.ndarray]  # reprojection errors of each component, px

    @property
    def registered(self) -> list[tuple[int, ViewSummary]]:
        """Component and figures of each registered photo."""
        return [(i, view) for i, model in enumerate(self.models) for view in model.views]

    @property
    def missing(self) -> list[str]:
        """Names of photos without a pose."""
        found = {view.name for _, view in self.registered}
        return [name for name in self.data.photos if name not in found]

    @property
    def all_errors(self) -> np.ndarray:
        """(O,) finite reprojection errors of all components, px."""
        joined = np.concatenate([np.zeros(0), *self.errors])
        return joined[np.isfinite(joined)]


def headline(view: ReportView) -> str:
    """Title, one sentence, and the tiles."""
    data = view.data
    placed, total = len(view.registered), len(data.photos)
    points = sum(m.points for m in view.models)
    observations = sum(m.observations for m in view.models)
    error = float(view.all_errors.mean()) if len(view.all_errors) else float("nan")
    length = observations / points if points else float("nan")
    count = len(view.models)
    tiles = [
        tile(
            "Photos placed",
            f"{placed}<small> of {total}</small>",
            "A photo is placed (registered) when the spot and the direction it was taken from were found.",
            grade_of(placed / total if total else float("nan"), 0.95, 0.7),
        ),
        tile(
            "Points",
            f"{points:,}",
            "Spots of the scene that were recognised in at least two photos and located in 3D.",
        ),
        tile(
            "Reprojection error",
            f"{error:.2f}<small> px</small>" if np.isfinite(error) else "-",
            "Mean distance between a point drawn back into a photo and where the photo shows it. "
            "Under 1 px is good.",
            grade_of(-error, -1.0, -2.0),
        ),
        tile(
            "Photos per point",
            f"{length:.1f}" if np.isfinite(length) else "-",
            "How many photos see a point, on average (track length). From 3 on, points check each other.",
            grade_of(length, 3.0, 2.5),
        ),
        tile(
            "Models",
            f"{count}",
            "Groups of photos that could be joined. One means that everything hangs together.",
            {0: "poor", 1: "good"}.get(count, "fair"),
        ),
        tile(
            "Scale and place",
            "metres" if data.metres else "arbitrary",
            data.georeference.get("summary")
            or "Photos alone do not tell how large things are: only ratios of lengths mean something.",
        ),
    ]
    return f"""<header>
<p class="brand">geo3d &middot; reconstruction report</p>
<h1>{escaped(data.title)}</h1>
<p class="verdict">{escaped(_verdict(placed, total, count, error) + _more_files(data))}</p>
</header>
<div class="tiles">{"".join(tiles)}</div>"""


def _verdict(placed: int, total: int, models: int, error: float) -> str:
    if placed == 0:
        return (
            f"None of the {total} photos could be placed. The reasons stand below, each with what would help."
        )
    if placed == total:
        photos = f"All {total} photos were placed"
    else:
        photos = f"{placed} of {total} photos were placed"
    joined = " in one model" if models == 1 else f", but in {models} models that could not be joined"
    fit = f"; on average they agree to {error:.2f} pixels" if np.isfinite(error) else ""
    return f"{photos}{joined}{fit}."


def _more_files(data: ReportData) -> str:
    """How many files the counts leave out."""
    more = len(set(data.unregistered) - set(data.photos))
    files = "file was" if more == 1 else "files were"
    return f" {more} more {files} not used, for the reasons below." if more else ""


def warnings(view: ReportView) -> str:
    """What the user should know."""
    if not view.data.warnings:
        return ""
    lines = "".join(f"<li>{escaped(line)}</li>" for line in view.data.warnings)
    return f'<section class="callout"><h2>Good to know</h2><ul>{lines}</ul></section>'


def photos(view: ReportView) -> str:
    """Gallery: what could not be placed and why, then what was."""
    missing = view.missing
    ordered = sorted(view.registered, key=lambda pair: (pair[0], pair[1].name))
    wanted = [*missing, *(v.name for _, v in ordered)][:_MAX_THUMBNAILS]
    pictures = thumbnails(view.data.photos_folder, wanted)
    parts = ['<section id="photos"><h2>Photos</h2>']
    if missing:
        cards = "".join(_missing_card(view, name, pictures.get(name)) for name in missing)
        parts.append(f'<h3>Not placed <span class="count">{len(missing)}</span></h3>')
        parts.append(f'<div class="cards missing">{cards}</div>')
    if ordered:
        several = len(view.models) > 1
        cards = "".join(_card(v, pictures.get(v.name), i if several else None) for i, v in ordered)
        parts.append(f'<h3>Placed <span class="count">{len(ordered)}</span></h3>')
        parts.append(
            '<p class="lead">Under each photo: how many of its points are in the model, and how well they fit. '
            "A photo with few points or a large error is a weak spot.</p>"
        )
        parts.append(f'<div class="cards">{cards}</div>')
    return "".join([*parts, _unused(view), "</section>"])


def _unused(view: ReportView) -> str:
    """Files that never were among the photos: damaged ones, copies, videos."""
    unused = {n: why for n, why in view.data.unregistered.items() if n not in set(view.data.photos)}
    if not unused:
        return ""
    rows = "".join(
        f"<tr><td>{escaped(name)}</td><td>{escaped(why.reason)}</td></tr>" for name, why in unused.items()
    )
    return (
        f"<details{' open' if len(unused) <= 12 else ''}><summary>Files that were not used "
        f'<span class="count">{len(unused)}</span></summary>'
        f"<table><thead><tr><th>file</th><th>why</th></tr></thead><tbody>{rows}</tbody></table></details>"
    )


def _picture(uri: str | None, name: str) -> str:
    if uri is None:
        return '<div class="thumb blank">no picture</div>'
    return f'<div class="thumb"><img loading="lazy" src="{uri}" alt="{escaped(name)}"></div>'


def _missing_card(view: ReportView, name: str, uri: str | None) -> str:
    why = view.data.unregistered.get(name)
    words = (
        f"<p class=reason>{escaped(why.reason)}</p><p class=advice>{escaped(why.advice)}</p>"
        if why
        else "<p class=reason>It matches too little of the other photos.</p>"
    )
    return f'<div class="card">{_picture(uri, name)}<div class="file">{escaped(name)}</div>{words}</div>'


def _card(photo: ViewSummary, uri: str | None, component: int | None) -> str:
    grade = grade_of(-photo.mean_error_px, -1.0, -2.0) if photo.observations >= 30 else "poor"
    model = f"<span>model {component + 1}</span>" if component is not None else ""
    error = f"{photo.mean_error_px:.2f} px" if np.isfinite(photo.mean_error_px) else "-"
    return (
        f'<div class="card">{_picture(uri, photo.name)}<div class="file" title="{escaped(photo.name)}">'
        f'{escaped(photo.name)}</div><div class="facts"><span>{photo.observations:,} points</span>'
        f'<span class="dot {grade}">{error}</span>{model}</div></div>'
    )


def errors(view: ReportView) -> str:
    """Histograms of reprojection errors and track lengths, and the photos' own errors."""
    values = view.all_errors
    if not len(values):
        return ""
    error_chart = error_histogram(values)
    lengths = np.concatenate([m.points.track_lengths for m in view.data.components])
    track_chart = _track_chart(lengths)
    worst = sorted((v for _, v in view.registered), key=lambda v: -v.mean_error_px)
    chosen = worst[:_MAX_ROWS]
    rows = [(v.name, max(v.mean_error_px, 0.0), f"{v.mean_error_px:.2f} px") for v in chosen]
    rows = [row for row in rows if np.isfinite(row[1])]
    which = f"The {len(chosen)} with the largest of {len(worst)}." if len(worst) > len(chosen) else ""
    return f"""<section id="errors"><h2>How well it fits</h2>
<div class="two">
<figure><h3>Reprojection errors</h3>{error_chart}
<figcaption>Pixels between a point drawn back into a photo and where it was seen, for all {len(values):,}
observations. A good model has its peak well under 1 px and a short tail.</figcaption></figure>
<figure><h3>Photos per point</h3>{track_chart}
<figcaption>How many points were seen in 2, 3, 4, ... photos. Points seen in two photos only cannot be
checked; many long tracks make a rigid model.</figcaption></figure>
</div>
<details{"" if len(rows) > 12 else " open"}><summary>Mean error of each photo</summary>
<p class="lead">{which}</p>
{bar_rows(rows)}</details></section>"""


def _track_chart(lengths: np.ndarray) -> str:
    last = int(min(max(lengths.max(), 3), 20))
    counts = np.bincount(np.minimum(lengths, last), minlength=last + 1)[2:]
    texts = [str(n) for n in range(2, last)] + [f"{last}+" if lengths.max() > last else str(last)]
    ticks = [(i + 0.5, text) for i, text in enumerate(texts)]
    mean = float(lengths.mean())
    return histogram(counts, [f"{t} photos" for t in texts], ticks, Marker(mean - 1.5, f"mean {mean:.1f}"))


def matches(view: ReportView) -> str:
    """Which photos share how many matches."""
    graph = view.data.matches
    if graph is None or not len(graph.names):
        return ""
    counts = np.asarray(graph.inliers)
    linked = int((np.triu(counts, 1) > 0).sum())
    lonely = [n for n, row in zip(graph.names, counts) if not (row > 0).any()]
    partners = (counts > 0).sum(axis=1)
    order = np.argsort(partners, kind="stable")[:8]
    weak = "".join(
        f"<tr><td>{escaped(graph.names[i])}</td><td class=n>{partners[i]}</td>"
        f"<td class=n>{int(counts[i].max()):,}</td></tr>"
        for i in order
    )
    note = f"<p>{len(lonely)} photos share nothing with any other.</p>" if lonely else ""
    return f"""<section id="matches"><h2>Which photos see the same things</h2>
<div class="two">
<figure>{heat_map(counts, graph.names)}
<figcaption>Row and column are photos in the order of their names; the stronger a cell, the more verified
matches the two share. A gap across the diagonal is where the chain of photos is weak.</figcaption></figure>
<div><p><b>{linked:,}</b> pairs share matches; a photo has <b>{partners.mean():.1f}</b> partners on average.</p>
{note}
<h3>Fewest partners</h3>
<table><thead><tr><th>photo</th><th class=n>partners</th><th class=n>best pair</th></tr></thead>
<tbody>{weak}</tbody></table></div>
</div></section>"""


def cameras(view: ReportView) -> str:
    """Intrinsics of every camera that is used."""
    rows = []
    several = len(view.models) > 1
    for index, (model, summary) in enumerate(zip(view.data.components, view.models)):
        for camera_id in sorted({v.camera_id for v in summary.views}):
            camera = model.cameras[camera_id]
            std = view.data.camera_std.get(camera_id)
            used = sum(v.camera_id == camera_id for v in summary.views)
            values = "".join(
                f"<div><span>{escaped(name)}</span> {value:.6g}"
                + (f" <small>&plusmn; {two_digits(std[k])}</small>" if std is not None and std[k] > 0 else "")
                + "</div>"
                for k, (name, value) in enumerate(zip(camera.param_names, camera.params))
            )
            wide = np.degrees(camera.field_of_view()[0])
            which = f"{camera_id}" + (f" <small>(model {index + 1})</small>" if several else "")
            rows.append(
                f"<tr><td>{which}</td>"
                f"<td>{escaped(camera.model)}<br><small>{camera.width} x {camera.height}</small></td>"
                f"<td><div class=params>{values}</div></td><td class=n>{wide:.1f}&deg;</td>"
                f"<td>{escaped(view.data.camera_notes.get(camera_id, ''))}</td><td class=n>{used}</td></tr>"
            )
    if not rows:
        return ""
    return f"""<section id="cameras"><h2>Cameras</h2>
<p class="lead">What was found out about the lens: f is the focal length and cx, cy the optical centre, in
pixels; k and p describe how the lens bends straight lines. &plusmn; is one standard deviation.</p>
<div class="scroll"><table><thead><tr><th>id</th><th>lens model, size</th><th>parameters</th>
<th class=n>field of view</th><th>from</th><th class=n>photos</th></tr></thead>
<tbody>{"".join(rows)}</tbody></table>
</div></section>"""


def timings(view: ReportView) -> str:
    """Seconds of each stage."""
    if not view.data.timings:
        return ""
    total = sum(view.data.timings.values())
    rows = [(name, seconds, format_seconds(seconds)) for name, seconds in view.data.timings.items()]
    return (
        f'<section id="timings"><h2>Time taken</h2><p class="lead">{escaped(format_seconds(total))} in all.</p>'
        f"{bar_rows(rows)}</section>"
    )


def words() -> str:
    """The vocabulary, for readers to whom it is new."""
    entries = "".join(
        f"<dt>{escaped(word)}</dt><dd>{escaped(meaning)}</dd>" for word, meaning in _WORDS.items()
    )
    return (
        '<section><details class="words"><summary>Words used here</summary>'
        f"<dl>{entries}</dl></details></section>"
    )


_WORDS = {
    "Registered photo": "its position and direction in the scene are known.",
    "Point, track": "a spot of the scene, and the list of photos in which it was recognised.",
    "Observation": "one point as seen in one photo.",
    "Reprojection error": "the point is projected back into the photo with the camera found; the error "
    "is the distance in pixels to where it was seen. It says how well everything agrees, not how "
    "accurate it is on the ground.",
    "Intrinsics": "what belongs to camera and lens: focal length, optical centre, distortion.",
    "Verified match": "two spots in two photos that look alike and obey the geometry of two views.",
    "Scale": "with GPS in the photos or a known distance, lengths are metres; otherwise only ratios count.",
}
