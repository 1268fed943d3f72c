"""The similarity that takes a model to where its photos' positions say that it is, with the errors of both in mind.

    target_i = s R source_i + t + e_i,  e_i ~ N(0, diag(n std_i)^2) but for outliers;   R up = z + e_up

Positions of a flight line leave the rotation about the line open, and heights from GPS are poor: the direction of
gravity in the model, with its own deviation, counts as one more measurement. Where positions say more, they win.

1. Hypotheses from random triples (Umeyama 1991) and from random pairs with the up direction; the one with the least
   median residual is kept of each kind (Rousseeuw 1984: stands up to half of the positions being wrong, and needs no
   threshold).
2. Levenberg-Marquardt with Cauchy's loss from there. The noise `n`, one number for places and one for heights, is how
   much larger (or smaller) residuals are than stated: GPS errors of one flight are alike and move it as a whole, and
   drones know changes of height from a barometer, so that residuals are often much smaller than `std`.
3. A position further off than `_OUTLIER` deviations is an outlier; the rest is adjusted once more without a loss, and
   the inverse of the normal equations says how well scale and rotation are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from geo3d.geometry import SO3, Sim3, skew, umeyama
from geo3d.optim import DenseProblem, LMOptions, RobustLoss, levenberg_marquardt

_HYPOTHESES = 200
_MIN_SAMPLE_THICKNESS = 0.05  # second singular value over the first of a triple that is used
_UNKNOWN_STD_M = 1e4  # of a height that no one knows
_FINEST_M = 0.01  # residuals below this are never called outliers
CONTRADICTED = (
    4.0  # times the stated deviations: what more positions than not are off by is no noise of theirs
)
_OUTLIER = 4.0  # norm of a whitened residual, three degrees of freedom: 1 in 1000 beyond
_CAUCHY = 3.0
_NOISE_ROUNDS = 4
_ENOUGH = 5  # positions from which on their scatter tells more than what is stated
_MAX_SCALE_STD = 0.2
_MAX_HEADING_STD = np.deg2rad(15.0)
_MAX_TILT_STD = np.deg2rad(30.0)
_LM = LMOptions(max_iterations=100, function_tolerance=1e-13, parameter_tolerance=1e-13)


@dataclass(frozen=True)
class UpDirection:
    """Which way is up in a model, and where that comes from.

    Attributes
    ----------
    direction : (3,) float64
        Unit, in the world of the model.
    std_rad : float
        Standard deviation of its tilt about each horizontal axis.
    source : "gimbal" or "cameras"
        Measured by the drone's gimbal, or concluded from how people hold cameras.
    """

    direction: np.ndarray
    std_rad: float
    source: Literal["gimbal", "cameras"]


@dataclass(frozen=True)
class PositionFit:
    """Result of `fit_positions`.

    Attributes
    ----------
    transform : Sim3
        target = transform.act(source)
    inliers : (N,) bool
    residuals : (N, 3) float64
        target - transform.act(source); NaN where the target is.
    noise : (horizontal, vertical)
        Residuals over what the stated deviations lead to expect: 1 as stated.
    scale_std : float
        Relative standard deviation of the scale; 0 where it was given.
    rotation_std : (3,) float64
        Radians, about x, y and z of the target.
    tilt_from : "positions" or "up"
        What determines the weaker of the two tilts, rotations about horizontal axes.
    """

    transform: Sim3
    inliers: np.ndarray
    residuals: np.ndarray
    noise: tuple[float, float]
    scale_std: float
    rotation_std: np.ndarray
    tilt_from: Literal["positions", "up"]


def fit_positions(
    source: np.ndarray,
    target: np.ndarray,
    std: np.ndarray,
    up: UpDirection | None = None,
    scale: float | None = None,
    seed: int = 0,
) -> PositionFit:
    """Robust similarity with `target = transform.act(source)`, weighted by the deviations of the targets.

    Parameters
    ----------
    source : (N, 3)
        Positions in the model.
    target : (N, 3)
        The same in a frame whose z is up; z may be NaN where it is not known.
    std : (N, 3)
        Standard deviations of the target's coordinates, positive.
    up : UpDirection, optional
        Needed where the positions lie on one line.
    scale : float, optional
        Known from elsewhere; then only rotation and translation are sought.
    seed : int
        Of the samples.

    Returns
    -------
    PositionFit

    Raises
    ------
    ValueError
        If there are fewer than three positions, they spread too little for their errors to tell scale or direction,
        fewer than half agree, or they lie on one line and `up` is not given. The message says which.
    """
    source, target, std = (np.asarray(a, np.float64) for a in (source, target, std))
    if source.ndim != 2 or source.shape[1] != 3 or not source.shape == target.shape == std.shape:
        raise ValueError(
            f"source, target and std must have the same shape (N, 3); got {source.shape}, {target.shape}, {std.shape}"
        )
    if len(source) < 3:
        raise ValueError(f"{len(source)} positions are too few: three or more are needed to find a wrong one")
    if not (np.isfinite(source).all() and np.isfinite(target[:, :2]).all() and (std > 0).all()):
        raise ValueError("source and target must be finite (but for the height of the target), std positive")
    task = _Task.of(source, target, std, up, scale)
    starts = task.hypotheses(np.random.default_rng(seed))
    if not starts:
        raise ValueError(
            "the positions lie on one line or in one place, and there is nothing that says where up is"
        )
    refined = [task.refine(start) for start in starts]
    _, start, noise = min(refined, key=lambda found: found[0])
    return task.finish(start, noise)


@dataclass(frozen=True)
class _Task:
    """Positions about their means, in units of the source's spread, so that the equations are well scaled."""

    x: np.ndarray  # (N, 3) source, centred, unit spread
    y: np.ndarray  # (N, 3) target, centred
    std: np.ndarray  # (N, 3)
    known: np.ndarray  # (N, 3) bool, coordinates of the target that are known
    up: UpDirection | None
    scale: float | None  # of x, where given
    centre: np.ndarray
    spread: float
    middle: np.ndarray

    @staticmethod
    def of(
        source: np.ndarray, target: np.ndarray, std: np.ndarray, up: UpDirection | None, scale: float | None
    ) -> _Task:
        centre = source.mean(0)
        spread = float(np.sqrt(np.mean((source - centre) ** 2))) or 1.0
        known = np.isfinite(target)
        height = float(np.median(target[known[:, 2], 2])) if known[:, 2].any() else 0.0
        filled = np.where(known, target, height)
        middle = np.median(filled, axis=0)
        return _Task(
            (source - centre) / spread,
            filled - middle,
            np.where(known, std, _UNKNOWN_STD_M),
            known,
            up,
            None if scale is None else scale * spread,
            centre,
            spread,
            middle,
        )

    def whitened(self, transform: Sim3) -> np.ndarray:
        """(N, 3) residuals over their stated deviations; 0 where the target is not known."""
        return np.where(self.known, (self.y - transform.act(self.x)) / self.std, 0.0)

    def hypotheses(self, rng: np.random.Generator) -> list[Sim3]:
        """The best of the triples and the best of the pairs with the up direction."""
        triples = [h for _ in range(_HYPOTHESES) if (h := self._triple(rng)) is not None]
        pairs = [h for _ in range(_HYPOTHESES) if (h := self._pair(rng)) is not None]
        best = []
        for found in (triples, pairs):
            medians = [np.median(np.linalg.norm(self.whitened(h), axis=1)) for h in found]
            if medians:
                best.append(found[int(np.argmin(medians))])
        return best

    def _triple(self, rng: np.random.Generator) -> Sim3 | None:
        rows = rng.choice(len(self.x), 3, replace=False)
        for points in (self.x[rows], self.y[rows]):
            singular = np.linalg.svd(points - points.mean(0), compute_uv=False)
            if singular[1] <= _MIN_SAMPLE_THICKNESS * singular[0]:
                return None
        fit = umeyama(self.x[rows], self.y[rows])
        return fit if self.scale is None else self._with_scale(fit.rotation, rows)

    def _pair(self, rng: np.random.Generator) -> Sim3 | None:
        if self.up is None:
            return None
        rows = rng.choice(len(self.x), 2, replace=False)
        upright = rotation_between(self.up.direction, np.array([0.0, 0.0, 1.0]))
        dx = upright @ (self.x[rows[1]] - self.x[rows[0]])
        dy = self.y[rows[1]] - self.y[rows[0]]
        lengths = np.hypot(dx[0], dx[1]), np.hypot(dy[0], dy[1])
        if min(lengths) <= 1e-9 * np.linalg.norm(dx) or min(lengths) == 0:
            return None
        turn = np.arctan2(dy[1], dy[0]) - np.arctan2(dx[1], dx[0])
        rotation = SO3.exp([0.0, 0.0, turn]).matrix @ upright
        return self._with_scale(rotation, rows, float(lengths[1] / lengths[0]))

    def _with_scale(self, rotation: np.ndarray, rows: np.ndarray, scale: float = 1.0) -> Sim3:
        scale = self.scale or scale
        shift = self.y[rows].mean(0) - scale * rotation @ self.x[rows].mean(0)
        return Sim3(np.array(scale), rotation, shift)

    def refine(self, start: Sim3) -> tuple[float, Sim3, np.ndarray]:
        """Cost over noise, transform and noise (3,) from Cauchy's loss, the noise estimated in turn."""
        noise, cost = self._scatter(start), np.inf
        everyone = np.ones(len(self.x), bool)
        for _ in range(_NOISE_ROUNDS):
            start, cost = self._minimize(start, noise, everyone, RobustLoss("cauchy", _CAUCHY))
            noise = self._scatter(start)
        return float(cost + self.known.sum(0) @ np.log(noise)), start, noise

    def _scatter(self, transform: Sim3) -> np.ndarray:
        """(3,) robust noise: the median of whitened residuals over that of a normal distribution."""
        residuals = np.abs(self.whitened(transform))
        noise = np.empty(3)
        for axes, taken in (([0, 1], 4 if self.scale is None else 3), ([2], 3)):
            known = residuals[:, axes][self.known[:, axes]]
            if not len(known):
                noise[axes] = 1.0
                continue
            # Few residuals are small because the fit went through them, not because the positions are good.
            free = len(known) - taken
            raw = 1.4826 * float(np.median(known)) * np.sqrt(len(known) / max(free, 1))
            floor = _FINEST_M / float(np.median(self.std[:, axes][self.known[:, axes]]))
            noise[axes] = max(raw, floor, 1.0 if len(self.x) < _ENOUGH else 0.0)
        return noise

    def finish(self, start: Sim3, noise: np.ndarray) -> PositionFit:
        """Adjust once more without outliers, and say how well everything is known."""
        inliers = np.linalg.norm(self.whitened(start) / noise, axis=1) <= _OUTLIER
        if inliers.sum() < max(3, (len(inliers) + 1) // 2):
            raise ValueError(
                f"only {inliers.sum()} of {len(inliers)} positions agree with the model and each other"
            )
        fit, _ = self._minimize(start, noise, inliers, RobustLoss())
        noise = self._scatter(fit)
        # A scatter of few residuals is itself uncertain: larger, to the amount that Student's t would ask for.
        count = inliers.sum()
        believed = noise * (1 + 4 / np.array([2 * count - 3, 2 * count - 3, max(count - 2, 1)]))
        _, J = self._equations(fit, believed, inliers)
        hessian = np.einsum("mki,mkj->ij", J, J)
        positions = np.einsum("mki,mkj->ij", J[: len(inliers)], J[: len(inliers)])
        scale_std, rotation_std = self._deviations(hessian, self._why_poor(noise))
        tilt = _marginal_std(positions, [0, 1], self.scale is not None)
        weak = self.up is not None and tilt > self.up.std_rad
        if self.up is None and tilt > _MAX_TILT_STD:
            raise ValueError(
                "the positions lie nearly on one line, and there is nothing that says where up is"
            )
        whitened = self.whitened(fit)
        scale = fit.scale / self.spread
        return PositionFit(
            transform=Sim3(
                scale, fit.rotation, fit.translation + self.middle - scale * fit.rotation @ self.centre
            ),
            inliers=np.linalg.norm(whitened / noise, axis=1) <= _OUTLIER,
            residuals=np.where(self.known, whitened * self.std, np.nan),
            noise=(float(noise[0]), float(noise[2])),
            scale_std=scale_std,
            rotation_std=rotation_std,
            tilt_from="up" if weak else "positions",
        )

    def _why_poor(self, noise: np.ndarray) -> str:
        """Why positions with this `noise` do not tell scale or direction: what they state, or what they are off by."""
        if noise[0] <= CONTRADICTED:
            return "the positions lie too close together for their errors"
        off = float(noise[0] * np.median(self.std[:, :2]))
        return f"the positions contradict the photos (about {off:.0f} m off, {noise[0]:.0f} times what they state)"

    def _deviations(self, hessian: np.ndarray, why: str) -> tuple[float, np.ndarray]:
        """Relative deviation of the scale and those of the rotation; ValueError saying `why` where they are too
        large."""
        fixed = self.scale is not None
        scale_std = 0.0 if fixed else _marginal_std(hessian, [6], fixed)
        heading = _marginal_std(hessian, [2], fixed)
        if scale_std > _MAX_SCALE_STD:
            raise ValueError(f"{why}: the scale would be known to {100 * min(scale_std, 10.0):.0f} % only")
        if heading > _MAX_HEADING_STD:
            raise ValueError(
                f"{why}: where north is would be known to {np.rad2deg(min(heading, np.pi)):.0f} degrees only"
            )
        tilts = [_marginal_std(hessian, [axis], fixed) for axis in (0, 1)]
        return scale_std, np.array([*tilts, heading])

    def _minimize(
        self, start: Sim3, noise: np.ndarray, rows: np.ndarray, loss: RobustLoss
    ) -> tuple[Sim3, float]:
        state = np.concatenate([[start.scale], start.rotation.ravel(), start.translation])
        problem = DenseProblem(lambda s: self._equations(_unpack(s), noise, rows), state, loss, _retract)
        result = levenberg_marquardt(problem, _LM)
        return _unpack(problem.x), result.cost

    def _equations(
        self, transform: Sim3, noise: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Whitened residuals (M, 3) and Jacobians (M, 3, 7): rotation, translation, log of scale. Last row: up."""
        turned = float(transform.scale) * self.x @ transform.rotation.T
        weight = np.where(self.known & rows[:, None], 1 / (noise * self.std), 0.0)
        r = weight * (turned + transform.translation - self.y)
        J = np.zeros((len(r), 3, 7))
        J[:, :, :3] = -skew(turned)
        J[:, :, 3:6] = np.eye(3)
        if self.scale is None:
            J[:, :, 6] = turned
        J *= weight[:, :, None]
        if self.up is None:
            return r, J
        up = transform.rotation @ self.up.direction
        last = np.zeros((1, 3, 7))
        last[0, :, :3] = -skew(up) / self.up.std_rad
        return np.concatenate([r, [(up - [0, 0, 1]) / self.up.std_rad]]), np.concatenate([J, last])


def similarity_std(
    places: np.ndarray, residuals: np.ndarray, std: np.ndarray, up_std_rad: float
) -> tuple[float, np.ndarray]:
    """Deviations of the scale (relative) and rotation (3,) (radians) that three or more positions hold a model by.

    Of weighted least squares at `places` (N, 3), whose `residuals` (N, 3) have the deviations `std` (N, 3); these are
    taken as larger where the residuals are, but never as smaller. Up is known to `up_std_rad` besides.
    """
    centred = places - places.mean(axis=0)
    J = np.zeros((len(places), 3, 7))
    J[:, :, :3], J[:, :, 3:6], J[:, :, 6] = -skew(centred), np.eye(3), centred
    J /= std[:, :, None]
    hessian = np.einsum("mki,mkj->ij", J, J)
    noise = max(1.0, np.sum(np.square(residuals / std)) / max(3 * len(places) - 7, 1))
    hessian = hessian / noise + np.diag([up_std_rad**-2, up_std_rad**-2, 0, 0, 0, 0, 0])
    return _marginal_std(hessian, [6], False), np.array(
        [_marginal_std(hessian, [k], False) for k in range(3)]
    )


def rotation_between(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The smallest rotation (3, 3) that takes the direction `first` (3,) to that of `second` (3,)."""
    a, b = first / np.linalg.norm(first), second / np.linalg.norm(second)
    axis = np.cross(a, b)
    sine, cosine = float(np.linalg.norm(axis)), float(a @ b)
    if sine < 1e-12:
        if cosine > 0:
            return np.eye(3)
        axis = np.cross(a, np.eye(3)[np.argmin(np.abs(a))])
        sine = float(np.linalg.norm(axis))
        return SO3.exp(np.pi * axis / sine).matrix
    return SO3.exp(np.arctan2(sine, cosine) * axis / sine).matrix


def _unpack(state: np.ndarray) -> Sim3:
    return Sim3(state[0], state[1:10].reshape(3, 3), state[10:])


def _retract(state: np.ndarray, step: np.ndarray) -> np.ndarray:
    rotation = SO3.exp(step[:3]).matrix @ state[1:10].reshape(3, 3)
    return np.concatenate([[state[0] * np.exp(step[6])], rotation.ravel(), state[10:] + step[3:6]])


def _marginal_std(hessian: np.ndarray, which: list[int], fixed_scale: bool) -> float:
    """The largest standard deviation within the parameters `which`, all others free; infinite where undetermined."""
    free = list(range(6 if fixed_scale else 7))
    others = [i for i in free if i not in which]
    block = hessian[np.ix_(which, which)]
    cross = hessian[np.ix_(which, others)]
    information = block - cross @ np.linalg.pinv(hessian[np.ix_(others, others)], hermitian=True) @ cross.T
    least = float(np.linalg.eigvalsh(information)[0])
    # What rounding leaves of a direction that nothing determines must not pass for knowledge.
    return 1 / np.sqrt(least) if least > 1e-12 * float(np.trace(hessian)) else np.inf
