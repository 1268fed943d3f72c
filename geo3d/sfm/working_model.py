"""The model while it grows: poses of some views, positions of some tracks, and which observations are believed.

Flat arrays over all views, tracks and observations, whether used yet or not. An observation counts (`used`) when its
view is registered, its track has a position, and the two agree. The steps of the mapper are methods that move only
these flags, the poses and the positions; `sfm.incremental` decides when to take which.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from geo3d.cameras import Camera
from geo3d.estimation import triangulate_tracks_robust
from geo3d.geometry import SE3
from geo3d.scene import Points, Reconstruction, View
from geo3d.sfm.bundle_adjustment import BundleOptions, BundleProblem, BundleResult, solve_bundle
from geo3d.sfm.bundle_priors import BundlePriors
from geo3d.sfm.lens_prior import lens_prior
from geo3d.sfm.match_graph import MatchGraph
from geo3d.sfm.track_kernels import widest_angles
from geo3d.sfm.tracks import TrackSet

_STATE = ("rotations", "translations", "registered", "held", "points", "placed", "used")


class WorkingModel:
    """State of the mapper over a match graph and its tracks.

    Parameters
    ----------
    graph : MatchGraph
    tracks : TrackSet
        As from `build_tracks`.

    Attributes
    ----------
    cameras : list of Camera
        In the order of the sorted camera ids.
    view_camera : (V,) int64
        Row of `cameras` of each view.
    rotations, translations : (V, 3, 3), (V, 3)
        cam_from_world; meaningless where `registered` is false.
    points : (T, 3); placed : (T,) bool
        Positions of the tracks, and which are known.
    used : (O,) bool
        Observations that support their point.
    held : (V,) bool
        Views whose pose is known and never moves.
    free_params : list of (n_params,) bool or None
        Which parameters of each camera move, where that has been decided; None leaves it to the options of the bundle
        adjustment.
    """

    def __init__(self, graph: MatchGraph, tracks: TrackSet):
        self.graph = graph
        self.camera_ids = sorted(graph.cameras)
        self.cameras: list[Camera] = [graph.cameras[i] for i in self.camera_ids]
        self.view_camera = np.searchsorted(self.camera_ids, graph.camera_ids).astype(np.int64)
        self.rotations = np.tile(np.eye(3), (len(graph), 1, 1))
        self.translations = np.zeros((len(graph), 3))
        self.registered = np.zeros(len(graph), bool)
        self.held = np.zeros(len(graph), bool)
        self.free_params: list[np.ndarray | None] = [None] * len(self.cameras)
        self._set_tracks(tracks)

    def _set_tracks(self, tracks: TrackSet) -> None:
        self.offsets = tracks.offsets
        self.obs_view, self.obs_keypoint = tracks.view, tracks.keypoint
        self.obs_track = np.repeat(np.arange(len(tracks)), np.diff(tracks.offsets))
        first = self.graph.keypoint_offsets()[self.obs_view]
        every = np.concatenate([np.zeros((0, 2)), *self.graph.keypoints])
        self.obs_xy = every[first + self.obs_keypoint]
        self.points = np.zeros((len(tracks), 3))
        self.placed = np.zeros(len(tracks), bool)
        self.used = np.zeros(len(self.obs_view), bool)
        self._by_view = np.argsort(self.obs_view, kind="stable")
        self._view_start = np.searchsorted(self.obs_view[self._by_view], np.arange(len(self.graph) + 1))
        self._bearings = np.full((len(self.obs_view), 3), np.nan)
        self._bearing_camera: list[Camera | None] = [None] * len(self.cameras)

    # ------------------------------------------------------------------ reading

    def observations_of(self, view: int) -> np.ndarray:
        """Rows of the observations in a view."""
        return self._by_view[self._view_start[view] : self._view_start[view + 1]]

    def bearings(self) -> np.ndarray:
        """(O, 3) unit bearings of all observations, recomputed where a camera has changed."""
        for row, camera in enumerate(self.cameras):
            if self._bearing_camera[row] is not camera:
                rows = self.view_camera[self.obs_view] == row
                self._bearings[rows] = camera.unproject(self.obs_xy[rows])
                self._bearing_camera[row] = camera
        return self._bearings

    def errors_px(self, rows: np.ndarray) -> np.ndarray:
        """(n,) reprojection errors of observations; infinite where the point does not project."""
        view = self.obs_view[rows]
        at = self.points[self.obs_track[rows]]
        at = np.einsum("nij,nj->ni", self.rotations[view], at) + self.translations[view]
        error = np.full(len(rows), np.inf)
        for row, camera in enumerate(self.cameras):
            mask = self.view_camera[view] == row
            error[mask] = np.linalg.norm(camera.project(at[mask]) - self.obs_xy[rows[mask]], axis=1)
        return np.where(np.isfinite(error), error, np.inf)

    def centres(self) -> np.ndarray:
        """(V, 3) camera centres."""
        return -np.einsum("vji,vj->vi", self.rotations, self.translations)

    def used_counts(self) -> np.ndarray:
        """(V,) observations of each view that support a point."""
        return np.bincount(self.obs_view[self.used], minlength=len(self.graph))

    def mean_error_px(self) -> float:
        """Mean reprojection error of the used observations in pixels; NaN where there is none."""
        rows = np.flatnonzero(self.used)
        return float(self.errors_px(rows).mean()) if len(rows) else float("nan")

    # ------------------------------------------------------------------ growing

    def set_pose(self, view: int, pose: SE3) -> None:
        """Register the row `view` with `pose`, its cam_from_world."""
        self.rotations[view], self.translations[view] = pose.rotation, pose.translation
        self.registered[view] = True

    def forget_view(self, view: int) -> None:
        """Take a view out again; points left with fewer than two observations go as well."""
        self.registered[view] = False
        self.used[self.observations_of(view)] = False
        self._drop_thin_points()

    def _drop_thin_points(self) -> None:
        length = np.bincount(self.obs_track[self.used], minlength=len(self.placed))
        self.placed &= length >= 2
        self.used &= self.placed[self.obs_track]

    def triangulate(self, max_error_px: float, min_angle: float, tracks: np.ndarray | None = None) -> int:
        """Place tracks that have no position yet and are seen by two registered views or more.

        Parameters
        ----------
        max_error_px : float
        min_angle : float
            Radians between the widest two rays.
        tracks : (n,) int, optional
            Only these.

        Returns
        -------
        int
            Number of points placed.
        """
        wanted = ~self.placed
        if tracks is not None:
            wanted &= self._chosen(tracks)
        rows = np.flatnonzero(self.registered[self.obs_view] & wanted[self.obs_track])
        count = np.bincount(self.obs_track[rows], minlength=len(wanted))
        rows = rows[count[self.obs_track[rows]] >= 2]
        if not len(rows):
            return 0
        track, length = np.unique(self.obs_track[rows], return_counts=True)
        focal = np.array([c.mean_focal for c in self.cameras])[self.view_camera[self.obs_view[rows]]]
        result = triangulate_tracks_robust(
            self.rotations,
            self.translations,
            np.concatenate([[0], np.cumsum(length)]).astype(np.int64),
            self.obs_view[rows],
            self.bearings()[rows],
            max_error=max_error_px / focal,
            min_angle=min_angle,
        )
        self.points[track] = result.points
        fits = np.zeros(len(rows), bool)
        fits[result.inliers] = self.errors_px(rows[result.inliers]) <= max_error_px
        support = np.bincount(self.obs_track[rows[fits]], minlength=len(wanted))
        placed = track[support[track] >= 2]
        self.placed[placed] = True
        self.used[rows] = fits & self.placed[self.obs_track[rows]]
        return len(placed)

    def complete(self, max_error_px: float, tracks: np.ndarray | None = None) -> int:
        """Use every observation of a placed point that agrees with it; return how many were added.

        Parameters
        ----------
        max_error_px : float
        tracks : (n,) int, optional
            Only of these.
        """
        rows = ~self.used & self.placed[self.obs_track] & self.registered[self.obs_view]
        if tracks is not None:
            rows &= self._chosen(tracks)[self.obs_track]
        rows = np.flatnonzero(rows)
        rows = rows[self.errors_px(rows) <= max_error_px]
        self.used[rows] = True
        return len(rows)

    def _chosen(self, tracks: np.ndarray) -> np.ndarray:
        """(T,) bool."""
        chosen = np.zeros(len(self.placed), bool)
        chosen[tracks] = True
        return chosen

    def filter(self, max_error_px: float, min_angle: float, tracks: np.ndarray | None = None) -> int:
        """Stop using observations that disagree, and drop points seen under too small an angle.

        Parameters
        ----------
        max_error_px : float
        min_angle : float
            Radians between the widest two rays.
        tracks : (n,) int, optional
            Only of these.

        Returns
        -------
        int
            Observations that are no longer used.
        """
        before = int(np.count_nonzero(self.used))
        chosen = self.placed if tracks is None else self.placed & self._chosen(tracks)
        rows = np.flatnonzero(self.used & chosen[self.obs_track])
        self.used[rows[self.errors_px(rows) > max_error_px]] = False
        self._drop_thin_points()
        looked_at = self.used & chosen[self.obs_track]
        angle = widest_angles(self.points, self.centres(), self.offsets, self.obs_view, looked_at)
        self.placed &= (angle >= min_angle) | ~chosen
        self.used &= self.placed[self.obs_track]
        return before - int(np.count_nonzero(self.used))

    def split_contradictions(self) -> int:
        """Make tracks of their own of the observations that contradict the point of their track; return how many.

        A wrong match can join two points into one track: the smaller part deserves a position as well.
        """
        left = ~self.used & self.placed[self.obs_track] & self.registered[self.obs_view]
        count = np.bincount(self.obs_track[left], minlength=len(self.placed))
        parents = np.flatnonzero(count >= 2)
        left &= np.isin(self.obs_track, parents)
        if not len(parents):
            return 0
        label = self.obs_track.copy()
        label[left] = len(self.placed) + np.searchsorted(parents, self.obs_track[left])
        order = np.lexsort((self.obs_view, label))
        length = np.bincount(label)
        points, placed, used = self.points, self.placed, self.used[order]
        tracks = TrackSet(
            np.concatenate([[0], np.cumsum(length)]).astype(np.int64),
            self.obs_view[order],
            self.obs_keypoint[order],
        )
        bearings, known = self._bearings[order], self._bearing_camera
        self._set_tracks(tracks)
        self.points[: len(points)], self.placed[: len(placed)], self.used[:] = points, placed, used
        self._bearings, self._bearing_camera = bearings, known
        return len(parents)

    # ------------------------------------------------------------------ adjusting

    def adjust(
        self,
        options: BundleOptions,
        views: np.ndarray | None = None,
        fixed_views: np.ndarray | None = None,
        fixed_cameras: np.ndarray | None = None,
        fixed_rotations: bool = False,
    ) -> BundleResult:
        """Bundle adjustment of all registered views, or of `views` with the others that see their points held fixed.

        Parameters
        ----------
        options : BundleOptions
        views : (n,) int, optional
            Views to adjust; default all registered ones.
        fixed_views : (V,) bool, optional
            Views whose pose stays.
        fixed_cameras : (C,) bool, optional
            Cameras whose parameters stay.
        fixed_rotations : bool
            Views move, but do not turn.
        """
        rows, moving = self.used, self.registered & ~self.held
        if views is not None:
            chosen = np.zeros_like(moving)
            chosen[views] = True
            moving &= chosen
            seen = np.zeros_like(self.placed)
            seen[self.obs_track[self.used & moving[self.obs_view]]] = True
            rows = self.used & seen[self.obs_track]
        if fixed_views is not None:
            moving &= ~fixed_views
        problem, view, track = self.bundle_problem(np.flatnonzero(rows), moving, fixed_cameras)
        if fixed_rotations:
            problem.constant_pose = np.tile([True] * 3 + [False] * 3, (len(view), 1))
        result = solve_bundle(problem, options)
        self.rotations[view], self.translations[view] = result.rotations, result.translations
        self.points[track] = result.points
        self.cameras = [
            old if np.array_equal(old.params, new.params) else new
            for old, new in zip(self.cameras, result.cameras)
        ]
        return result

    def robust(
        self, bundle: BundleOptions, factor: float = 2.5, rows: np.ndarray | None = None
    ) -> BundleOptions:
        """Cauchy's loss at a few times the median error: what is left of wrong matches must not pull.

        The scale follows the photos: sharp ones have errors of a tenth of a pixel, where one pixel is already wrong.

        Parameters
        ----------
        bundle : BundleOptions
            Taken but for the loss.
        factor : float
            Scale of the loss in median errors.
        rows : (n,) int, optional
            Observations that say what the errors are; default all used ones.
        """
        rows = np.flatnonzero(self.used) if rows is None else rows
        median = float(np.median(self.errors_px(rows))) if len(rows) else 1.0
        return replace(bundle, loss="cauchy", loss_scale_px=float(np.clip(factor * median, 0.1, 4.0)))

    def bundle_problem(
        self,
        rows: np.ndarray,
        moving: np.ndarray,
        fixed_cameras: np.ndarray | None = None,
        cameras: list[Camera] | None = None,
    ) -> tuple[BundleProblem, np.ndarray, np.ndarray]:
        """The bundle of some observations at the present values.

        Parameters
        ----------
        rows : (n,) int
            Observations that take part.
        moving : (V,) bool
            Views whose pose may change.
        fixed_cameras : (C,) bool, optional
            Cameras whose parameters stay.
        cameras : list of Camera, optional
            In place of the model's.

        Returns
        -------
        problem : BundleProblem
        view, track : int arrays
            The view and the track of each of the problem's.
        """
        view, obs_view = np.unique(self.obs_view[rows], return_inverse=True)
        track, obs_track = np.unique(self.obs_track[rows], return_inverse=True)
        cameras = cameras or self.cameras
        starts = (self.graph.cameras[i] for i in self.camera_ids)
        lens = [lens_prior(start, camera) for start, camera in zip(starts, cameras)]
        problem = BundleProblem(
            rotations=self.rotations[view],
            translations=self.translations[view],
            view_camera=self.view_camera[view],
            cameras=cameras,
            points=self.points[track],
            obs_view=obs_view,
            obs_point=obs_track,
            obs_xy=self.obs_xy[rows],
            constant_view=~moving[view],
            constant_camera=np.zeros(len(self.cameras), bool) if fixed_cameras is None else fixed_cameras,
            free_params=self.free_params,
            priors=BundlePriors(
                camera_params=[mean for mean, _ in lens], camera_sigmas=[sigma for _, sigma in lens]
            ),
        )
        return problem, view, track

    # ------------------------------------------------------------------ keeping and handing over

    def state(self) -> dict[str, np.ndarray]:
        """All that distinguishes the model from a new one of its match graph, as arrays; see `restore`."""
        state = {name: getattr(self, name) for name in _STATE}
        tracks = {"offsets": self.offsets, "obs_view": self.obs_view, "obs_keypoint": self.obs_keypoint}
        cameras = {"camera_models": np.array([camera.model for camera in self.cameras])}
        for row, (camera, free) in enumerate(zip(self.cameras, self.free_params)):
            cameras[f"camera_{row}"] = np.array(camera.params)
            if free is not None:
                cameras[f"free_{row}"] = free
        return {**state, **tracks, **cameras}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Become the model whose `state` that was, of the same match graph.

        Parameters
        ----------
        state : mapping of str to array
        """
        self._set_tracks(TrackSet(state["offsets"], state["obs_view"], state["obs_keypoint"]))
        for name in _STATE:
            getattr(self, name)[...] = state[name]
        models = [str(name) for name in state["camera_models"]]
        self.cameras = [
            replace(self.graph.cameras[i], model=models[row], params=state[f"camera_{row}"])
            for row, i in enumerate(self.camera_ids)
        ]
        self.free_params = [state.get(f"free_{row}") for row in range(len(self.cameras))]

    def to_reconstruction(self, colors: list[np.ndarray] | None = None) -> Reconstruction:
        """The registered views and placed points as data.

        Parameters
        ----------
        colors : list of (N_v, 3) uint8, optional
            RGB at the keypoints of each view; a point takes the mean over its track.
        """
        rows = np.flatnonzero(self.used)
        track, start, length = np.unique(self.obs_track[rows], return_index=True, return_counts=True)
        error, color = np.full(len(track), np.nan), np.full((len(track), 3), 128, np.uint8)
        if len(rows):
            error = np.add.reduceat(self.errors_px(rows), start) / length
            if colors is not None:
                every = np.concatenate(colors)[
                    self.graph.keypoint_offsets()[self.obs_view[rows]] + self.obs_keypoint[rows]
                ]
                total = np.add.reduceat(every.astype(np.float64), start, axis=0)
                color = np.rint(total / length[:, None]).astype(np.uint8)
        ids = np.array(self.graph.view_ids, np.int64)
        views = {
            int(ids[v]): View(
                self.graph.names[v],
                self.graph.camera_ids[v],
                SE3(self.rotations[v].copy(), self.translations[v].copy()),
                self.graph.keypoints[v],
            )
            for v in np.flatnonzero(self.registered)
        }
        used_cameras = sorted({view.camera_id for view in views.values()})
        cameras = {i: self.cameras[self.camera_ids.index(i)] for i in used_cameras}
        points = Points(
            xyz=self.points[track].copy(),
            color=color,
            error_px=error,
            offsets=np.concatenate([[0], np.cumsum(length)]).astype(np.int64),
            view_ids=ids[self.obs_view[rows]],
            keypoints=self.obs_keypoint[rows].copy(),
        )
        return Reconstruction(cameras, views, points)
