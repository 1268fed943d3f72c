"""Place one model of a scene: the similarity, the last adjustment, what is left over. See `georeference`."""

from __future__ import annotations

import numpy as np

from geo3d.geometry import EnuFrame, Sim3
from geo3d.scene import Reconstruction
from geo3d.sfm.doming import doming_warning
from geo3d.sfm.georeference_adjust import (
    SURVEY_STD_M,
    ControlPoint,
    GeoreferencedBundle,
    adjust_georeferenced,
)
from geo3d.sfm.georeference_clicks import Located, locate_marks, mark_std
from geo3d.sfm.georeference_fit import (
    CONTRADICTED,
    PositionFit,
    fit_positions,
    rotation_between,
    similarity_std,
)
from geo3d.sfm.georeference_gps import PhotoPosition
from geo3d.sfm.georeference_known import KnownPlace
from geo3d.sfm.georeference_markers import measure_markers
from geo3d.sfm.georeference_model import transform_model
from geo3d.sfm.georeference_result import (
    ControlResidual,
    LengthResidual,
    ModelPlacement,
    PhotoResidual,
    Source,
)
from geo3d.sfm.georeference_scale import (
    KnownLength,
    MeasuredLengths,
    gps_beats_lengths,
    measure_distances,
    scale_from_lengths,
    tell_against_control,
    tell_against_gps,
    tell_disagreement,
)
from geo3d.sfm.georeference_up import estimate_up
from geo3d.sfm.ground_control import GroundPoint

_BEND = 0.005  # of the distance to the camera: how far a model may be bent before anything holds it
_HOLD = 4  # control points from which on a bend would show: three lie in a plane however the model is bent
_WITHIN = 1.5  # noise up to which GPS has nothing to add to what the photos say
_HARM = 1.05  # growth of the reprojection error beyond which an adjustment to GPS is not kept
_UP = np.array([0.0, 0.0, 1.0])


class ModelPlacer:
    """Places one model: `place` finds the similarity, `adjust` makes the last adjustment, `measure` the residuals.

    Parameters
    ----------
    model : Reconstruction
        Stays as it is; the placed one is the attribute `model`.
    known : KnownPlace
    frame : EnuFrame or None
        Of GPS and control points; None without either.
    seed : int
    threads : int or None

    Attributes
    ----------
    model : Reconstruction
    placement : ModelPlacement
        After `place`.
    located : dict of str to Located
        After `place`: the control points in the model as mapped.
    gps_shift : (3,) float64 or None
        Added to GPS positions so that they agree with the control points.
    """

    def __init__(
        self, model: Reconstruction, known: KnownPlace, frame: EnuFrame | None, seed: int, threads: int | None
    ) -> None:
        self.model, self.known, self.frame = model, known, frame
        self._seed, self._threads = seed, threads
        self.gps_shift: np.ndarray | None = None
        self._points = known.control.points if known.control else []
        self._control: list[GroundPoint] = []  # those that place the model
        self._outliers: set[str] = set()
        self._agreed: set[str] = set()  # lengths that the scale is from
        self.up = estimate_up(model, known.gravity, known.orientations)
        names = {view.name for view in model.views.values() if view.cam_from_world is not None}
        self._positions = [p for p in known.positions if p.name in names]

    # ------------------------------------------------------------------------------------------------- similarity

    def place(self) -> None:
        """Find the similarity and move the model by it."""
        self.located = located = {point.name: self._locate(point) for point in self._points}
        known = self._lengths(located)
        self.scale = scale_from_lengths(known.lengths)
        if self.scale is not None:
            self._agreed = {x.name for x, good in zip(known.lengths, self.scale.used) if good}
        upright = Sim3(np.array(1.0), rotation_between(self.up.direction, _UP), np.zeros(3))
        used = {view.camera_id for view in self.model.views.values() if view.cam_from_world is not None}
        std = {i: found for i, found in self.known.camera_std.items() if i in used}
        self.placement = ModelPlacement(
            "none", upright, self.up.source, camera_std=std, warnings=known.unused
        )
        for point in self._points:
            self._tell_clicks(point, located[point.name])
        by_control = self._by_control(located)
        if self.scale is not None and not by_control:
            self.placement.warnings += tell_disagreement(known.lengths, self.scale)
        if not by_control and not self._by_gps(located, known.lengths) and self.scale is not None:
            source: Source = "marker" if all(x.source == "marker" for x in known.lengths) else "distance"
            self.placement.source = source
            self.placement.transform = Sim3(np.array(self.scale.scale), upright.rotation, upright.translation)
            self.placement.scale_std = self.scale.std
        self.model = transform_model(self.model, self.placement.transform)

    def _locate(self, point: GroundPoint) -> Located:
        return locate_marks(self.model, point.clicks)

    def _lengths(self, located: dict[str, Located]) -> MeasuredLengths:
        """All known lengths in the model as it stands."""
        points = {name: at.xyz for name, at in located.items() if at.xyz is not None}
        between = measure_distances(self.model, self.known.distances, points)
        edges = measure_markers(self.model, self.known.markers, self.known.marker_size_m)
        unused = between.unused + edges.unused
        if np.isfinite(self.known.marker_size_m) and not edges.lengths and not edges.unused:
            unused.append(
                "no marker (ArUco, AprilTag) was found in two or more photos of the model; move closer to it"
            )
        return MeasuredLengths(between.lengths + edges.lengths, unused)

    def _tell_clicks(self, point: GroundPoint, at: Located) -> None:
        if at.wrong and at.xyz is not None:
            self.placement.warnings.append(
                f"{point.name} is marked somewhere else in {', '.join(at.wrong)} than in the {len(at.marks)} other "
                "photos; these marks are not used"
            )
        elif at.wrong:
            self.placement.warnings.append(
                f"the marks of {point.name} in {', '.join(at.wrong)} do not show one point; it is not used"
            )

    def _by_control(self, located: dict[str, Located]) -> bool:
        usable = [p for p in self._points if not p.check and located[p.name].xyz is not None]
        if len(usable) < 3 or self.frame is None:
            return False
        source = np.array([located[p.name].xyz for p in usable])
        target = self.frame.from_geodetic([p.geodetic for p in usable])
        spreads = [np.linalg.norm(a - a.mean(0), axis=1).max() for a in (source, target)]
        if not min(spreads) > 0:
            raise ValueError("ground control: all points lie in one place")
        away = np.median(np.linalg.norm(self.model.centres()[:, None] - source[None], axis=2))
        std = np.hypot(SURVEY_STD_M, _BEND * away * spreads[1] / spreads[0])
        try:
            fit = fit_positions(source, target, np.tile(std, (len(usable), 1)), self.up, seed=self._seed)
        except ValueError as error:
            raise ValueError(f"ground control ({', '.join(p.name for p in usable)}): {error}") from error
        for point, good, off in zip(usable, fit.inliers, fit.residuals):
            if not good:
                self.placement.warnings.append(
                    f"the ground control point {point.name} lies {np.linalg.norm(off):.2f} m from where the others "
                    "put it; it is not used. Check its coordinates and its marks"
                )
        self._control = [p for p, good in zip(usable, fit.inliers) if good]
        self._keep("control", fit)
        self._shift_gps()
        return True

    def _by_gps(self, located: dict[str, Located], lengths: list[KnownLength]) -> bool:
        if self.frame is None or not self._positions:
            return False
        rows = {name: row for row, name in enumerate(self._names())}
        source = self.model.centres()[[rows[p.name] for p in self._positions]]
        target = self._gps()
        std = np.array([p.std_m for p in self._positions])
        try:
            fit = self._fit_gps(source, target, std, lengths)
        except ValueError as error:
            self.placement.warnings.append(f"the photos' GPS does not place the model: {error}")
            return False
        self._keep("gps", fit)
        if self.scale is not None:
            self.placement.scale_std = self.scale.std
        self.placement.contradiction = max(fit.noise)
        self._outliers = {p.name for p, good in zip(self._positions, fit.inliers) if not good}
        for p, good, off in zip(self._positions, fit.inliers, fit.residuals):
            if not good:
                self.placement.warnings.append(
                    f"the GPS of {p.name} is {np.sqrt(np.nansum(off**2)):.1f} m off; it is not used"
                )
        self._tell_scatter(fit)
        usable = [p for p in self._points if not p.check and located[p.name].xyz is not None]
        if usable:
            there = fit.transform.act(np.array([located[p.name].xyz for p in usable]))
            shift = np.mean(self.frame.from_geodetic([p.geodetic for p in usable]) - there, axis=0)
            moved = fit.transform.translation + shift
            self.placement.transform = Sim3(fit.transform.scale, fit.transform.rotation, moved)
            self._control, self.gps_shift = usable, shift
            self._tell_shift()
        return True

    def _tell_scatter(self, fit: PositionFit) -> None:
        """Where so many positions are wrong that none of them stands out, the residuals alone tell."""
        parts = (("positions", slice(0, 2), fit.noise[0]), ("altitudes", slice(2, 3), fit.noise[1]))
        for what, axes, noise in parts:
            off = np.linalg.norm(fit.residuals[:, axes], axis=1)
            if noise > CONTRADICTED and np.isfinite(off).any():
                self.placement.warnings.append(
                    f"the GPS {what} of the photos do not fit together: they are {np.nanmedian(off):.3g} m off "
                    f"(median), {noise:.0f} times what they state, and so may be the place of the model. Ground "
                    "control points (--gcp) would tell which are right"
                )

    def _fit_gps(
        self, source: np.ndarray, target: np.ndarray, std: np.ndarray, lengths: list[KnownLength]
    ) -> PositionFit:
        """To the GPS, in the scale of the known lengths unless the GPS refutes that."""
        if self.scale is None:
            return fit_positions(source, target, std, self.up, None, self._seed)
        try:
            alone = fit_positions(source, target, std, self.up, None, self._seed)
        except ValueError:
            alone = None  # the GPS tells no scale that the lengths could be compared with
        if alone is not None:
            self.placement.warnings += tell_against_gps(lengths, self.scale, alone)
            if gps_beats_lengths(self.scale, alone):
                self.scale, self._agreed = None, set()
                return alone
        return fit_positions(source, target, std, self.up, self.scale.scale, self._seed)

    def _keep(self, source: Source, fit: PositionFit) -> None:
        placed = self.placement
        placed.source, placed.transform = source, fit.transform
        self._set_deviations(fit.scale_std, fit.rotation_std)
        if fit.tilt_from == "positions":
            placed.up_from = "positions"
            return
        how = "the gimbal" if self.up.source == "gimbal" else "the way the cameras were held"
        what = "ground control points" if source == "control" else "GPS positions"
        placed.notes.append(
            f"The {what} do not tell how the model is tilted (they lie near one line, or their heights are too "
            f"poor); that is from {how}, to {placed.tilt_std_deg:.1f} degrees."
        )

    def _names(self) -> list[str]:
        return [self.model.views[i].name for i in self.model.registered()]

    def _gps(self) -> np.ndarray:
        """(N, 3) GPS positions in the local frame, shifted to the control points' heights where these are used."""
        assert self.frame is not None
        geodetic = np.array([p.geodetic for p in self._positions]).reshape(-1, 3)
        unknown = np.isnan(geodetic[:, 2])
        enu = self.frame.from_geodetic(np.where(np.isnan(geodetic), self.frame.height_m, geodetic))
        enu[unknown, 2] = np.nan
        return enu if self.gps_shift is None else enu + self.gps_shift

    def _shift_gps(self) -> None:
        """By how much the GPS is off as a whole, seen from control points."""
        if not self._positions:
            return
        rows = {name: row for row, name in enumerate(self._names())}
        centres = self.placement.transform.act(self.model.centres()[[rows[p.name] for p in self._positions]])
        off = centres - self._gps()
        self.gps_shift = np.array(
            [np.median(c[np.isfinite(c)]) if np.isfinite(c).any() else 0.0 for c in off.T]
        )
        std = np.array([p.std_m for p in self._positions])
        off = np.where(np.isfinite(off), np.abs(off - self.gps_shift), 0.0)
        wrong = np.any(off > 4 * np.maximum(std, 1.4826 * np.median(off, axis=0)), axis=1)
        self._outliers = {p.name for p, bad in zip(self._positions, wrong) if bad}
        self._tell_shift()

    def _tell_shift(self) -> None:
        assert self.gps_shift is not None
        level, up = np.hypot(*self.gps_shift[:2]), -self.gps_shift[2]
        self.placement.notes.append(
            f"Seen from the control points the photos' GPS is {level:.2f} m off on the ground and its altitudes are "
            f"{abs(up):.2f} m too {'high' if up > 0 else 'low'} (another level of heights, or the receiver)."
        )

    def move(self, shift: np.ndarray) -> None:
        """Shift a model that was placed by GPS as control points have shifted another."""
        self.gps_shift = shift
        step = Sim3(np.array(1.0), np.eye(3), shift)
        self.placement.transform = step @ self.placement.transform
        self.model = transform_model(self.model, step)

    # -------------------------------------------------------------------------------------------------- adjustment

    def adjust(self) -> None:
        """Adjust photos, GPS and control points together, where that can tell more than the similarity."""
        if not self.placement.on_earth:
            return
        rtk = [p for p in self._positions if p.rtk]
        used = rtk if self.placement.source == "control" else self._positions
        used = [p for p in used if p.name not in self._outliers]
        if not self._control and not rtk and self.placement.contradiction <= _WITHIN:
            return
        bundle = self._bundle(used, bool(self._control or rtk))
        adjusted = adjust_georeferenced(self.model, bundle, self._threads)
        placed = self.placement
        placed.error_before_px, placed.error_px = adjusted.error_before_px, adjusted.error_px
        worse = adjusted.error_px > _HARM * adjusted.error_before_px
        if worse and not self._control:
            placed.notes.append(
                "Adjusting the model to the GPS would raise the reprojection error from "
                f"{adjusted.error_before_px:.3f} to {adjusted.error_px:.3f} px, so it was not done: the photos "
                "contradict the accuracy that the GPS states."
            )
            return
        if worse:
            placed.warnings.append(
                f"the ground control raises the reprojection error from {adjusted.error_before_px:.3f} to "
                f"{adjusted.error_px:.3f} px: a point or a mark may be wrong, see the residuals in the report"
            )
        self.model, placed.adjusted = adjusted.model, True
        placed.camera_std.update(adjusted.camera_std)
        if placed.source == "control":
            self._deviate_again()
        elif self.scale is not None:
            self._rescale()

    def _deviate_again(self) -> None:
        """Deviations of the adjusted model: nothing bends it any more, so that points and marks alone set them."""
        assert self.frame is not None
        seen = [(point, at) for point in self._control if (at := self._locate(point)).xyz is not None]
        if len(seen) < 3:
            return
        places = self.frame.from_geodetic([point.geodetic for point, _ in seen])
        off = places - np.array([at.xyz for _, at in seen])
        marks = np.array([[mark_std(self.model, at)] for _, at in seen])
        scale, rotation = similarity_std(places, off, np.hypot(SURVEY_STD_M, marks), self.up.std_rad)
        self._set_deviations(scale, rotation)

    def _set_deviations(self, scale: float, rotation: np.ndarray) -> None:
        placed = self.placement
        placed.scale_std, placed.heading_std_deg = scale, float(np.rad2deg(rotation[2]))
        placed.tilt_std_deg = float(np.rad2deg(rotation[:2].max()))

    def _bundle(self, used: list[PhotoPosition], precise: bool) -> GeoreferencedBundle:
        gps = dict(zip((p.name for p in self._positions), self._gps()))
        surveyed = (
            self.frame.from_geodetic([p.geodetic for p in self._control])
            if self._control and self.frame
            else []
        )
        control = []
        for point, xyz in zip(self._control, surveyed):
            control.append(ControlPoint(point.name, xyz, self._locate(point).marks))
        tilt = None
        if self.placement.up_from != "positions":
            tilt = self.up.std_rad
        return GeoreferencedBundle(
            positions={p.name: gps[p.name] for p in used},
            position_std={p.name: p.std_m for p in used},
            control=control,
            distances=[] if self.placement.source == "control" else self._agreed_distances(),
            free_params={i: std > 0 for i, std in self.known.camera_std.items()} if precise else {},
            first_cameras=self.known.first_cameras,
            tilt_std_rad=tilt,
        )

    def _agreed_distances(self) -> list[tuple[str, str, float, float]]:
        """Known distances between photos that the scale is from, each with the deviation of one."""
        names = set(self._names())
        found = [
            d
            for d in self.known.distances
            if f"{d.first} to {d.second}" in self._agreed and {d.first, d.second} <= names
        ]
        relative = 0.0 if self.scale is None else self.scale.std * np.sqrt(max(len(self._agreed), 1))
        return [(d.first, d.second, d.metres, relative * d.metres) for d in found]

    def _rescale(self) -> None:
        """Known lengths hold again after the adjustment; the middle of the cameras stays."""
        assert self.scale is not None
        again = scale_from_lengths(self._lengths({p.name: self._locate(p) for p in self._points}).lengths)
        if again is not None:
            middle = self.model.centres().mean(axis=0)
            step = Sim3(np.array(again.scale), np.eye(3), (1 - again.scale) * middle)
            self.model = transform_model(self.model, step)

    # ---------------------------------------------------------------------------------------------------- residuals

    def measure(self) -> None:
        """What photos, control points and lengths are off by in the placed model, and whether it may be bent."""
        placed = self.placement
        held = placed.adjusted and (len(self._control) >= _HOLD or any(p.rtk for p in self._positions))
        doming = None if held else doming_warning(self.model, placed.camera_std)
        placed.warnings += [] if doming is None else [doming]
        located = {point.name: self._locate(point) for point in self._points}
        lengths = self._lengths(located).lengths
        if placed.metres:
            placed.warnings += tell_against_control(lengths) if placed.source == "control" else []
            placed.lengths = [
                LengthResidual(
                    x.name, x.known_m, x.model, placed.source != "control" and x.name in self._agreed
                )
                for x in lengths
            ]
        if not placed.on_earth or self.frame is None:
            return
        centres = dict(zip(self._names(), self.model.centres()))
        for p, there in zip(self._positions, self._gps()):
            placed.photos.append(_photo_residual(p.name, centres[p.name], there, p.name in self._outliers))
        active = {point.name for point in self._control}
        for point in self._points:
            surveyed = self.frame.from_geodetic(point.geodetic)
            placed.control.append(
                _control_residual(point, surveyed, located[point.name], point.name in active)
            )


def _photo_residual(name: str, centre: np.ndarray, gps: np.ndarray, outlier: bool) -> PhotoResidual:
    east, north, up = map(float, gps - centre)
    return PhotoResidual(
        name, (float(centre[0]), float(centre[1]), float(centre[2])), east, north, up, outlier
    )


def _control_residual(point: GroundPoint, surveyed: np.ndarray, at: Located, used: bool) -> ControlResidual:
    note, off = "", np.full(3, np.nan)
    if at.xyz is not None:
        off = surveyed - at.xyz
    elif at.wrong:
        note = "its marks do not show one point"
    else:
        note = f"marked in {len(at.marks)} placed photos; two are needed"
    if not note and not used and not point.check:
        note = "contradicts the others"
    east, north, up = map(float, off)
    return ControlResidual(
        point.name, point.check, len(at.marks), east, north, up, error_px=at.error_px, used=used, note=note
    )
