"""Motions of a hand and of the eye on it: what `A_ij X = X B_ij` is made of, and whether it determines X.

With `L_i X C_i = Z` for all poses i (`L` the robot's, `C` the board's in the camera) any two of them give

    A_ij = L_j^-1 L_i,   B_ij = C_j C_i^-1,   A_ij X = X B_ij.

Motions about one axis leave the translation of X along it open, and its rotation about it too where nothing but the
translations tells it; motions without rotation leave the whole translation open. Tsai and Lenz 1989, section II.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from geo3d.geometry import SE3, SO3, rotation_angle

_MOST_MOTIONS = 4096
_LARGEST_TURN = np.radians(170.0)  # at half a turn an axis and its opposite are the same
_LEAST_TURN = np.radians(1.0)


@dataclass(frozen=True, eq=False)
class Motions:
    """Pairs of motions of the hand and of the eye, M of them.

    Attributes
    ----------
    hand, eye : SE3
        A and B, each (M).
    """

    hand: SE3
    eye: SE3


def motions_of(left: SE3, right: SE3) -> Motions:
    """Motions between the poses, between all of them if these are not too many; without those by half a turn.

    Parameters
    ----------
    left, right : SE3
        L and C, each (N), N >= 2.
    """
    i, j = np.triu_indices(len(left.translation), 1)
    some = np.unique(np.linspace(0, len(i) - 1, min(len(i), _MOST_MOTIONS)).astype(int))
    i, j = i[some], j[some]
    hand = take(left, j).inverse() @ take(left, i)
    eye = take(right, j) @ take(right, i).inverse()
    turns = np.maximum(rotation_angle(hand.rotation), rotation_angle(eye.rotation))
    usable = np.flatnonzero(turns <= _LARGEST_TURN)
    return Motions(take(hand, usable), take(eye, usable))


def why_undetermined(motions: Motions) -> str:
    """Why X does not follow from these motions, and what to do; empty if it does.

    Parameters
    ----------
    motions : Motions
    """
    turns = SO3(motions.hand.rotation).log()
    size = np.linalg.norm(turns, axis=1)
    if size.max(initial=0.0) < _LEAST_TURN:
        return (
            f"the gripper turns by {np.degrees(size.max(initial=0.0)):.2g} degrees at most, which leaves the place of "
            "the camera open: turn it by 20 to 60 degrees between the poses, about two axes at least"
        )
    # Root mean square of the turns about the main axis and about the two across it
    _, spread, axes = np.linalg.svd(turns / np.sqrt(len(turns)), full_matrices=False)
    if len(spread) < 2 or spread[1] < _LEAST_TURN:
        axis = ", ".join(f"{value:.2f}" for value in axes[0] * np.sign(axes[0, np.abs(axes[0]).argmax()]))
        return (
            f"the gripper turns about one axis only, ({axis}), which leaves the place of the camera along that axis "
            "open: tilt it by 20 to 60 degrees about another axis too"
        )
    return ""


def take(poses: SE3, index: np.ndarray) -> SE3:
    """Some of many poses.

    Parameters
    ----------
    poses : SE3
        (N).
    index : (M,) int
    """
    return SE3(poses.rotation[index], poses.translation[index])
