"""Photos as a trainer wants them: reduced, without lens distortion if so wished, over a background, in bounded memory.

What is done to a photo, in this order: its colours are multiplied with its alpha (where it has one), all is reduced by
area averaging, the lens distortion is taken out (bilinear; unless it is to stay), and the background is put behind:

    colour = alpha photo + (1 - alpha) background

on the sRGB-encoded values, as the data sets of radiance fields are made. Colours averaged before they are multiplied
would bring the colour of what is transparent into the edges. With a black background the colours are premultiplied:
`color + (1 - alpha[..., None]) * other` is the photo before another one.

The camera of a reduced photo is exact: a pixel (u, v) becomes (u w' / w, v h' / h), the centre of the top-left pixel
being (0.5, 0.5).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from geo3d.cameras import Camera, pinhole_for, pinhole_like, remap_image, undistort_map
from geo3d.images import PhotoError, read_mask, read_photo
from geo3d.render.views import PosedView, check_size
from geo3d.util.require import require

_LEAST_SIDE = 16  # of the longer side of a photo, pixels
_MAPS = 2  # of distorted lenses that are kept: one lens has one, a map is as large as a photo
_JPEG = (".jpg", ".jpeg", ".jpe", ".jfif")
_GIB = 1 << 30

LeaveOut = Callable[[PosedView, PhotoError | OSError], None]
"""Is told which photo cannot be read, and why."""


@dataclass(frozen=True, eq=False)
class TrainingPhoto:
    """A photo in memory and the camera that it fits.

    Attributes
    ----------
    color : (h, w, 3) float32
        RGB in [0, 1], sRGB-encoded, over the background.
    alpha : (h, w) float32 or None
        Opacity in [0, 1], where the photo has it.
    mask : (h, w) bool or None
        True where the photo counts; None where all of it does.
    camera : Camera
        Of this size; PINHOLE, unless the lens was to stay.
    """

    color: np.ndarray
    alpha: np.ndarray | None
    mask: np.ndarray | None
    camera: Camera


@dataclass(frozen=True, eq=False)
class _Stored:
    """A photo as it is kept: one byte a sample."""

    color: np.ndarray  # (h, w, 3) uint8
    alpha: np.ndarray | None  # (h, w) uint8
    mask: np.ndarray | None  # (h, w) bool

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in (self.color, self.alpha, self.mask) if part is not None)


class PhotoStream:
    """The photos of views, by index; decoded in the background, kept in memory as far as a budget goes.

    Photos are kept in the order in which they come until the budget is full, and none is put out for another: of a
    walk through all photos, again and again in any order, the kept ones are then always there. What is delivered does
    not depend on what is kept or on when the thread is done.

    While a photo is decoded it takes the memory of its full size too; a JPEG that is to be reduced to a half or less
    is decoded at a half, a quarter or an eighth.

    Parameters
    ----------
    views : sequence of PosedView
    scale : float
        Of the sides of the photos, above 0 and at most 1.
    background : (3,) floats
        RGB in [0, 1], behind photos that have alpha.
    undistorted : bool
        Whether distorted photos are resampled to PINHOLE ones; if not, they keep their lens.
    cache_bytes : int
        For the photos that are kept and those that are decoded ahead, one byte a sample: 36 MB for 12 megapixels. One
        photo is always held, however large.
    leave_out : LeaveOut, optional
        Is called once for a photo that cannot be read, or whose mask cannot; `in_order` then goes on without it. By
        default it raises what is wrong.
    threads : int
        That decode; each takes a core and, while it is at it, the memory of a photo of full size.

    Raises
    ------
    ValueError
        If the scale is not in (0, 1], or leaves a photo fewer than 16 pixels.

    Examples
    --------
    The photos in an order of the caller's choice, the next ones being decoded meanwhile::

        with PhotoStream(load_views("scene").views, scale=0.5) as stream:
            for index, photo in stream.in_order(order):
                step(photo.color, photo.camera, stream.views[index].cam_from_world)
    """

    def __init__(
        self,
        views: Sequence[PosedView],
        scale: float = 1.0,
        background: tuple[float, float, float] = (0.0, 0.0, 0.0),
        cache_bytes: int = 2 * _GIB,
        undistorted: bool = True,
        leave_out: LeaveOut | None = None,
        threads: int = 1,
    ) -> None:
        if not 0.0 < scale <= 1.0:
            raise ValueError(f"scale: expected a number above 0 and at most 1, got {scale}")
        self.views = list(views)
        self.scale = scale
        self.background = np.array(background, np.float32)
        if self.background.shape != (3,) or not np.all((self.background >= 0) & (self.background <= 1)):
            raise ValueError(f"background: expected 3 numbers in [0, 1], got {background}")
        self.cache_bytes = cache_bytes
        self.undistorted = undistorted
        self.leave_out = leave_out
        self._left_out: set[int] = set()
        self._targets: dict[Camera, Camera] = {}
        for view in self.views:
            if view.camera not in self._targets:
                self._targets[view.camera] = _target(view.camera, scale, undistorted)
        self._reserve = max([5 * c.width * c.height for c in self._targets.values()], default=0)
        self._maps: dict[Camera, np.ndarray] = {}
        self._kept: dict[int, _Stored] = {}
        self._kept_bytes = 0
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="photos")
        self._lock = threading.Lock()  # of what is kept, and of the maps

    def __enter__(self) -> PhotoStream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the threads and let go of the photos."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._kept.clear()
        self._kept_bytes = 0

    def __len__(self) -> int:
        return len(self.views)

    def camera(self, index: int) -> Camera:
        """The camera of the photo that `self[index]` gives; nothing is decoded."""
        return self._targets[self.views[index].camera]

    @property
    def kept_bytes(self) -> int:
        """Memory of the photos that are kept."""
        return self._kept_bytes

    def __getitem__(self, index: int) -> TrainingPhoto:
        """The photo of `self.views[index]`.

        Raises
        ------
        geo3d.images.PhotoError, OSError
            If it or its mask cannot be read.
        ValueError
            If it is of another size than its camera.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"photo {index} of {len(self)}")
        return self._delivered(index, self._pool.submit(self._stored, index).result())

    def in_order(self, indices: Iterable[int], ahead: int = 4) -> Iterator[tuple[int, TrainingPhoto]]:
        """Yield (index, photo) in the order of `indices`, which may be endless; the next ones are decoded meanwhile.

        With `leave_out` it goes on without those that cannot be read, and ends when none can.

        Parameters
        ----------
        indices : iterable of int
        ahead : int
            How many photos are decoded ahead, at least 1; fewer where a quarter of the budget does not hold so many.

        Raises
        ------
        geo3d.images.PhotoError, OSError, ValueError
            As `self[index]`, at the photo that it is about.
        """
        ahead = max(1, min(ahead, int(self.cache_bytes / 4 / max(self._reserve, 1))))
        waiting: deque[tuple[int, Future[_Stored]]] = deque()
        try:
            for index in indices:
                if index not in self._left_out:
                    waiting.append((index, self._pool.submit(self._stored, index)))
                elif len(self._left_out) == len(self):
                    break
                if len(waiting) > ahead:
                    yield from self._next(waiting)
            while waiting:
                yield from self._next(waiting)
        finally:
            for _, future in waiting:
                future.cancel()

    def _next(self, waiting: deque[tuple[int, Future[_Stored]]]) -> Iterator[tuple[int, TrainingPhoto]]:
        """The first of those that are `waiting`, unless it is left out."""
        index, future = waiting.popleft()
        try:
            stored = future.result()
        except (PhotoError, OSError) as error:
            if self.leave_out is None:
                raise
            if index not in self._left_out:
                self._left_out.add(index)
                self.leave_out(self.views[index], error)
            return
        yield index, self._delivered(index, stored)

    def _delivered(self, index: int, stored: _Stored) -> TrainingPhoto:
        unit = np.float32(1.0 / 255.0)
        alpha = None if stored.alpha is None else stored.alpha * unit
        return TrainingPhoto(stored.color * unit, alpha, stored.mask, self.camera(index))

    def _stored(self, index: int) -> _Stored:
        """The photo as it is kept; runs in the threads only."""
        found = self._kept.get(index)
        if found is None:
            found = self._decoded(self.views[index])
            with self._lock:
                # Room is left for those that are decoded ahead.
                if index not in self._kept and self._kept_bytes + found.nbytes <= 0.75 * self.cache_bytes:
                    self._kept[index] = found
                    self._kept_bytes += found.nbytes
        return found

    def _decoded(self, view: PosedView) -> _Stored:
        require("cv2").setNumThreads(1)
        camera = view.camera
        size = reduced_size(camera.width, camera.height, self.scale)
        color, alpha = _read_reduced(view, size)
        mask = None
        if view.mask is not None:
            mask = read_mask(view.mask, size, full_size=(camera.width, camera.height))
        if self.undistorted and _is_distorted(camera):
            places = self._map(camera, size)
            inside = _inside(places, size)
            color, alpha = remap_image(color, places), None if alpha is None else remap_image(alpha, places)
            if mask is not None:
                mask = remap_image(mask.astype(np.uint8) * 255, places) >= 128
            if not inside.all():
                mask = inside if mask is None else mask & inside
        if alpha is None:
            return _Stored(color, None, mask)
        color = color + (255.0 - alpha)[..., None] * self.background
        return _Stored(_bytes(color), _bytes(alpha), mask)

    def _map(self, camera: Camera, size: tuple[int, int]) -> np.ndarray:
        """Where each pixel of the new photo lies in the reduced one, (h, w, 2) float32."""
        with self._lock:
            if camera not in self._maps:
                while len(self._maps) >= _MAPS:
                    del self._maps[next(iter(self._maps))]
                ratio = np.array([size[0] / camera.width, size[1] / camera.height], np.float32)
                self._maps[camera] = undistort_map(camera, self._targets[camera]) * ratio
            return self._maps[camera]


def _is_distorted(camera: Camera) -> bool:
    return camera.model not in ("PINHOLE", "SIMPLE_PINHOLE")


def _target(camera: Camera, scale: float, undistorted: bool) -> Camera:
    """The camera of the reduced photo: PINHOLE, but for a lens that is to stay."""
    if _is_distorted(camera):
        full = pinhole_for(camera) if undistorted else camera
    else:
        full = pinhole_like(camera)
    return full.rescaled(*reduced_size(full.width, full.height, scale))


def reduced_size(width: int, height: int, scale: float) -> tuple[int, int]:
    """(width, height) of a photo that is reduced by `scale`, rounded as `geo3d.images.read_photo` does.

    Raises
    ------
    ValueError
        If too little is left.
    """
    longest = max(width, height)
    side = max(1, round(longest * scale))
    if side < min(_LEAST_SIDE, longest):
        raise ValueError(
            f"scale: {scale:g} makes {side} pixels of {longest}, and the longer side has to keep {_LEAST_SIDE}; give "
            f"at least {_LEAST_SIDE / longest:.3g}"
        )
    return max(1, round(width * side / longest)), max(1, round(height * side / longest))


def _read_reduced(view: PosedView, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray | None]:
    """The photo reduced by area averaging: (h, w, 3) uint8 and None; of one with alpha (h, w, 3) float32, multiplied
    with it, and (h, w) float32, both in [0, 255].
    """
    cv2 = require("cv2")
    # Only a JPEG is reduced as it is read: others may have alpha, which has to go into the colours first.
    jpeg = view.photo.suffix.lower() in _JPEG and max(size) >= _LEAST_SIDE
    photo = read_photo(view.photo, max_size=max(size) if jpeg else None)
    check_size(view.photo, (photo.width, photo.height), view.camera)
    color, alpha = photo.pixels, photo.alpha
    if alpha is not None:
        alpha = alpha.astype(np.float32)
        color = color * (alpha / np.float32(255.0))[..., None]
    if color.shape[1::-1] != size:
        color = cv2.resize(color, size, interpolation=cv2.INTER_AREA)
        alpha = None if alpha is None else cv2.resize(alpha, size, interpolation=cv2.INTER_AREA)
    return color, alpha


def _inside(places: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(h, w) bool, whether the place is in an image of that size."""
    x, y = places[..., 0], places[..., 1]
    with np.errstate(invalid="ignore"):
        return (x >= 0.0) & (x <= size[0]) & (y >= 0.0) & (y <= size[1])


def _bytes(values: np.ndarray) -> np.ndarray:
    return (np.clip(values, 0.0, 255.0) + 0.5).astype(np.uint8)
