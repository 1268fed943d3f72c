"""Views that move together: cameras of a rig, whose poses are those of its frames and of its sensors.

    cam_from_world = sensor_from_rig @ rig_from_world,    R = Rs Rf,  t = Rs tf + ts

A frame moves by a tangent (wf, vf), `Rf <- exp(wf) Rf`, `tf <- tf + vf`, a sensor by (ws, vs) in the same way. To
first order the tangent (w, v) of a view is

    w = Rs wf + ws,    v = Rs vf - [Rs tf]_x ws + vs,

so that the equations of views become those of frames and sensors by a sparse matrix P: `P^T H P`, `P^T g`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from geo3d.geometry import SO3
from geo3d.optim.reduced import Basis

if TYPE_CHECKING:
    from geo3d.sfm.bundle_system import Blocks


@dataclass(frozen=True)
class BundleRigs:
    """Frames and sensors of the rigs in a problem, whose poses stand for those of their views.

    Attributes
    ----------
    view_frame, view_sensor : (V,) int
        Rows of the frame and of the sensor of each view; -1 for a view that is in no rig.
    frame_rotations, frame_translations : (F, 3, 3), (F, 3) array
        `rig_from_world` of each frame.
    sensor_rotations, sensor_translations : (S, 3, 3), (S, 3) array
        `sensor_from_rig` of each sensor.
    free_sensor : (S,) bool, optional
        Sensors whose pose in the rig is not known exactly and is adjusted; by default none. One sensor of each rig
        has to stay, since it is what the rig's own frame is measured from.
    constant_frame : (F, 6) bool, optional
        Single elements of frames' poses that stay: rotation about the rig's x, y, z, then translation x, y, z.
    """

    view_frame: np.ndarray
    view_sensor: np.ndarray
    frame_rotations: np.ndarray
    frame_translations: np.ndarray
    sensor_rotations: np.ndarray
    sensor_translations: np.ndarray
    free_sensor: np.ndarray | None = None
    constant_frame: np.ndarray | None = None

    def check(self, views: int) -> None:
        """Raise ValueError naming the first field that is wrong, for a problem of so many `views`."""
        frames, sensors = len(self.frame_translations), len(self.sensor_translations)
        shapes = {
            "view_frame": (views,),
            "view_sensor": (views,),
            "frame_rotations": (frames, 3, 3),
            "frame_translations": (frames, 3),
            "sensor_rotations": (sensors, 3, 3),
            "sensor_translations": (sensors, 3),
            "free_sensor": (sensors,),
            "constant_frame": (frames, 6),
        }
        for name, shape in shapes.items():
            value = getattr(self, name)
            if value is not None and np.shape(value) != shape:
                raise ValueError(f"rigs: {name} must have shape {shape}; got {np.shape(value)}")
            if value is not None and not np.isfinite(value).all():
                raise ValueError(f"rigs: {name} must be finite")
        for name, count in (("view_frame", frames), ("view_sensor", sensors)):
            rows = np.asarray(getattr(self, name))
            if not np.issubdtype(rows.dtype, np.integer) or (rows < -1).any() or (rows >= count).any():
                raise ValueError(f"rigs: {name} must hold rows of 0 to {count - 1}, or -1; got {rows[:10]}")
        if ((np.asarray(self.view_frame) < 0) != (np.asarray(self.view_sensor) < 0)).any():
            raise ValueError("rigs: a view must have a frame and a sensor, or neither")

    @property
    def views(self) -> np.ndarray:
        """(n,) rows of the views that belong to rigs."""
        return np.flatnonzero(np.asarray(self.view_frame) >= 0)

    def free(self) -> tuple[np.ndarray, np.ndarray]:
        """What moves: elements of frames (F, 6), sensors (S,)."""
        frames = np.ones((len(self.frame_translations), 6), bool)
        if self.constant_frame is not None:
            frames &= ~np.asarray(self.constant_frame, bool)
        if self.free_sensor is None:
            return frames, np.zeros(len(self.sensor_translations), bool)
        return frames, np.asarray(self.free_sensor, bool)

    def held(self, frames: bool, sensors: bool) -> BundleRigs:
        """The same with all `frames` constant, or all `sensors`, where so told."""
        free_frame, free_sensor = self.free()
        return replace(
            self, constant_frame=~free_frame | frames, free_sensor=free_sensor & ~np.bool_(sensors)
        )

    def moving(self) -> np.ndarray:
        """(n,) bool, of `views`: whether the frame or the sensor moves."""
        free_frame, free_sensor = self.free()
        return (
            np.any(free_frame, axis=1)[self.view_frame[self.views]]
            | free_sensor[self.view_sensor[self.views]]
        )

    def view_poses(self) -> tuple[np.ndarray, np.ndarray]:
        """Rotations (n, 3, 3) and translations (n, 3) of `views`."""
        frame, sensor = self.view_frame[self.views], self.view_sensor[self.views]
        Rs = np.asarray(self.sensor_rotations, np.float64)[sensor]
        turned = np.einsum("nij,nj->ni", Rs, np.asarray(self.frame_translations, np.float64)[frame])
        return (
            np.einsum("nij,njk->nik", Rs, np.asarray(self.frame_rotations, np.float64)[frame]),
            turned + np.asarray(self.sensor_translations, np.float64)[sensor],
        )


class RigMap:
    """From steps of frames and sensors to steps of views, for the blocks of a bundle.

    The unknowns are, block after block: what blocks hold besides poses of rigs' views; the free elements of each
    frame; the poses of free sensors. Frames and sensors that nothing observes have none.

    Parameters
    ----------
    rigs : BundleRigs
    blocks : Blocks
    starts : (B + 1,) int
        First column of each block.

    Attributes
    ----------
    rigs : BundleRigs
        At its current values.
    frame_columns, sensor_columns : (F, 6), (S, 6) int
        Unknowns of frames and sensors, -1 for those that stay.
    """

    def __init__(self, rigs: BundleRigs, blocks: Blocks, starts: np.ndarray) -> None:
        self.rigs = self._trial = rigs
        views = rigs.views[blocks.of_view[rigs.views] >= 0]
        self._frame, self._sensor = np.asarray(rigs.view_frame)[views], np.asarray(rigs.view_sensor)[views]
        self._rows = starts[blocks.of_view[views]][:, None] + np.arange(6)
        free_frame, free_sensor = rigs.free()
        of_pose = np.zeros(starts[-1], bool)
        of_pose[self._rows.ravel()] = True
        self._others = np.flatnonzero(~of_pose)
        block_of = np.searchsorted(starts, self._others, side="right") - 1
        widths = [count for count in np.bincount(block_of, minlength=len(starts) - 1).tolist() if count]
        free_frame &= np.isin(np.arange(len(free_frame)), self._frame)[:, None]
        free_sensor = free_sensor & np.isin(np.arange(len(free_sensor)), self._sensor)
        free = np.concatenate([free_frame, np.repeat(free_sensor[:, None], 6, axis=1)])
        numbers = np.full(free.shape, -1)
        numbers[free] = len(self._others) + np.arange(free.sum())
        self.frame_columns, self.sensor_columns = np.split(numbers, [len(free_frame)])
        widths += [count for count in free.sum(1).tolist() if count]
        self._bounds = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)

    def basis(self) -> Basis:
        """P at the current values."""
        from scipy.sparse import csr_array

        Rs = np.asarray(self.rigs.sensor_rotations)[self._sensor]
        n = len(Rs)
        by_frame, by_sensor = np.zeros((n, 6, 6)), np.tile(np.eye(6), (n, 1, 1))
        by_frame[:, :3, :3] = by_frame[:, 3:, 3:] = Rs
        x, y, z = np.einsum("nij,nj->in", Rs, np.asarray(self.rigs.frame_translations)[self._frame])
        by_sensor[:, 3, 1], by_sensor[:, 3, 2] = z, -y
        by_sensor[:, 4, 0], by_sensor[:, 4, 2] = -z, x
        by_sensor[:, 5, 0], by_sensor[:, 5, 1] = y, -x
        rows, columns = [self._others], [np.arange(len(self._others))]
        values = [np.ones(len(self._others))]
        for part, numbers in (
            (by_frame, self.frame_columns[self._frame]),
            (by_sensor, self.sensor_columns[self._sensor]),
        ):
            kept = (part != 0) & (numbers[:, None, :] >= 0)
            rows.append(np.broadcast_to(self._rows[:, :, None], part.shape)[kept])
            columns.append(np.broadcast_to(numbers[:, None, :], part.shape)[kept])
            values.append(part[kept])
        shape = (len(self._others) + self._rows.size, int(self._bounds[-1]))
        entries = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        return Basis(csr_array(entries, shape=shape), self._bounds)

    def move(self, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Poses of `rigs.views` after a `step` of the unknowns: rotations (n, 3, 3), translations (n, 3)."""
        moved = {}
        for name, numbers in (("frame", self.frame_columns), ("sensor", self.sensor_columns)):
            tangent = (
                np.where(numbers >= 0, step[np.maximum(numbers, 0)], 0.0) if len(step) else 0.0 * numbers
            )
            rotations = np.asarray(getattr(self.rigs, f"{name}_rotations"), np.float64)
            turned = np.einsum("nij,njk->nik", SO3.exp(tangent[:, :3]).matrix, rotations)
            turns = np.any(tangent[:, :3], axis=1)[:, None, None]
            moved[f"{name}_rotations"] = np.where(turns, turned, rotations)
            moved[f"{name}_translations"] = getattr(self.rigs, f"{name}_translations") + tangent[:, 3:]
        self._trial = replace(self.rigs, **moved)
        return self._trial.view_poses()

    def accept(self) -> None:
        """What `move` tried is current."""
        self.rigs = self._trial
