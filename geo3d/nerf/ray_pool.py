"""Random pixels of all photos of a training, with their rays, in bounded memory.

Which pixels a step gets is a function of the seed and the step alone. Photos are kept as bytes, their colours
multiplied with their alpha; where they do not all fit, a part of them that changes every `ROUND_STEPS` steps is.
A lens stays as it is: each ray goes through it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera
from geo3d.render.photos import LeaveOut, PhotoStream, TrainingPhoto
from geo3d.render.views import PosedView

ROUND_STEPS = 250
"""Steps after which other photos are read, where not all fit into the memory."""


@dataclass(frozen=True, eq=False)
class PixelBatch:
    """Pixels that were drawn.

    Attributes
    ----------
    rows : (R,) int32
        Of the photo among those to train on.
    bearings : (R, 3) float32
        Unit vectors of the rays, frame of the camera.
    color : (R, 3) float32
        Of the photo, before black.
    alpha : (R,) float32 or None
        None where no photo has alpha.
    """

    rows: np.ndarray
    bearings: np.ndarray
    color: np.ndarray
    alpha: np.ndarray | None


@dataclass(frozen=True, eq=False)
class HeldPhotos:
    """The photos of a round, one after another: N photos of P pixels as bytes, of which some may not count.

    Attributes
    ----------
    rows : (N,) int32
        Which photos they are.
    cameras : list of Camera
        Of each.
    starts : (N + 1,) int64
        First pixel of each.
    pixels : (P, 3) uint8
        Row by row.
    alpha : (P,) uint8 or None
    valid : (V,) int64 or None
        Pixels that count; None: all.
    """

    rows: np.ndarray
    cameras: list[Camera]
    starts: np.ndarray
    pixels: np.ndarray
    alpha: np.ndarray | None
    valid: np.ndarray | None


class RayPool:
    """Pixels of the photos of `views`.

    Parameters
    ----------
    views : sequence of PosedView
    downscale : float
        The photos are reduced by this.
    mask_is_empty : bool
        The masked part of a photo shows that nothing is there; else it does not count.
    cache_bytes : int
        For the photos.
    seed : int
    leave_out : LeaveOut, optional
        As in `PhotoStream`.
    """

    def __init__(
        self,
        views: Sequence[PosedView],
        downscale: float,
        mask_is_empty: bool,
        cache_bytes: int,
        seed: int,
        leave_out: LeaveOut | None = None,
    ) -> None:
        self.views = list(views)
        self.mask_is_empty = mask_is_empty
        self.seed = seed
        self._stream = PhotoStream(
            self.views, 1.0 / downscale, cache_bytes=0, undistorted=False, leave_out=leave_out
        )
        largest = max(self.camera(row).width * self.camera(row).height for row in range(len(self.views)))
        self.at_once = min(len(self.views), max(1, int(cache_bytes / (4 * largest))))
        self._round = -1
        self._held: HeldPhotos | None = None

    def camera(self, row: int) -> Camera:
        """Of photo `row` as it is trained on."""
        return self._stream.camera(row)

    def close(self) -> None:
        """Let go of the photos."""
        self._stream.close()
        self._held = None

    def draw(self, step: int, count: int) -> PixelBatch:
        """Pixels of a step, each of all that are held with the same chance.

        Parameters
        ----------
        step : int
        count : int

        Raises
        ------
        ValueError
            If none of the photos can be read, or no pixel of them counts.
        """
        held = self.held(step)
        rng = np.random.default_rng([self.seed, 10, step])
        if held.valid is None:
            chosen = rng.integers(held.starts[-1], size=count)
        else:
            chosen = held.valid[rng.integers(len(held.valid), size=count)]
        photo = np.searchsorted(held.starts, chosen, side="right") - 1
        unit = np.float32(1 / 255)
        return PixelBatch(
            held.rows[photo],
            _bearings(held.cameras, photo, chosen - held.starts[photo]),
            held.pixels[chosen] * unit,
            None if held.alpha is None else held.alpha[chosen] * unit,
        )

    def held(self, step: int) -> HeldPhotos:
        """The photos of the round that `step` is in; the same object for all steps of a round.

        Parameters
        ----------
        step : int

        Raises
        ------
        ValueError
            If none of the photos can be read, or no pixel of them counts.
        """
        whole = self.at_once == len(self.views)
        wanted = 0 if whole else step // ROUND_STEPS
        if self._held is None or wanted != self._round:
            self._held = None  # its memory goes before that of the next one is taken
            rows = np.arange(len(self.views))
            if not whole:
                rows = np.random.default_rng([self.seed, 11, wanted]).permutation(rows)
            self._held = self._read(rows)
            self._round = wanted
        return self._held

    def _read(self, rows: np.ndarray) -> HeldPhotos:
        """The first photos of `rows` that can be read, as many as are held at once."""
        found: list[tuple[int, np.ndarray, np.ndarray | None, np.ndarray | None]] = []
        for row, photo in self._stream.in_order(rows.tolist()):
            found.append((row, *_bytes_of(photo, self.mask_is_empty)))
            if len(found) == self.at_once:
                break
        if not found:
            raise ValueError(f"none of the {len(self.views)} photos can be read: what is wrong is told above")
        sizes = [len(pixels) for _, pixels, _, _ in found]
        alphas, masks = [part for _, _, part, _ in found], [part for _, _, _, part in found]
        alpha = valid = None
        if any(part is not None for part in alphas):
            alpha = np.concatenate(
                [np.full(n, 255, np.uint8) if a is None else a for n, a in zip(sizes, alphas)]
            )
        if any(part is not None for part in masks):
            counts = np.concatenate([np.ones(n, bool) if m is None else m for n, m in zip(sizes, masks)])
            valid = np.flatnonzero(counts)
            if not len(valid):
                raise ValueError(
                    "the masks leave no pixel of the photos: white is what counts, black what does not"
                )
        return HeldPhotos(
            np.array([row for row, *_ in found], np.int32),
            [self.camera(row) for row, *_ in found],
            np.concatenate([[0], np.cumsum(sizes)]),
            np.concatenate([pixels for _, pixels, _, _ in found]),
            alpha,
            valid,
        )


def _bytes_of(
    photo: TrainingPhoto, mask_is_empty: bool
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
    """Pixels (P, 3) uint8, alpha (P,) uint8 or None, and which count (P,) bool or None, row by row."""
    color = (photo.color * 255.0 + 0.5).astype(np.uint8).reshape(-1, 3)
    alpha = None if photo.alpha is None else (photo.alpha * 255.0 + 0.5).astype(np.uint8).ravel()
    mask = None if photo.mask is None else photo.mask.ravel()
    if mask is not None and mask_is_empty:
        color = color * mask[:, None]
        alpha = (np.uint8(255) if alpha is None else alpha) * mask.astype(np.uint8)
        mask = None
    return color, alpha, mask


def _bearings(cameras: list[Camera], photo: np.ndarray, pixel: np.ndarray) -> np.ndarray:
    """(R, 3) float32 rays in the frame of the camera, of pixels numbered row by row."""
    found = np.empty((len(photo), 3), np.float32)
    lenses: dict[Camera, list[int]] = {}
    for k, camera in enumerate(cameras):
        lenses.setdefault(camera, []).append(k)
    for camera, own in lenses.items():
        of_lens = slice(None) if len(lenses) == 1 else np.flatnonzero(np.isin(photo, own))
        y, x = np.divmod(pixel[of_lens], camera.width)
        found[of_lens] = camera.unproject(np.stack([x + 0.5, y + 0.5], axis=1))
    return found
