"""Image pairs and videos with exact optical flow and occlusion: textured layers that move before each other.

A layer has a shape and a texture in the plane of the image at time 0, and moves as a plane before a camera does: its
point x is at H(t) x at time t, a homography. Later layers hide earlier ones. So at time t the place y shows the last
layer whose shape holds H(t)^-1 y, and

    flow from t to s at y = H(s) H(t)^-1 y - y

of that layer: exact. It is occluded if another layer is seen where it leads, or it leads out of the image.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from geo3d.synthetic import flow_kernels as kernels
from geo3d.synthetic.textures import SIZE, noise_texture, patch_texture, repeating_texture

_BANK = {"noise": 10, "patches": 8, "repetition": 3}  # textures of each kind, from which layers take theirs


@dataclass(frozen=True)
class FlowPairOptions:
    """What made-up images with a known flow show.

    Attributes
    ----------
    width, height : int
        Pixels.
    layers : int
        Blobs and boards before the background.
    thin : int
        Thin things: bars, wires and fences, 1.5 to 6 px wide.
    max_motion_px : float
        Largest motion of a layer's centre from one image to the next. Half of the layers move with the camera, more
        the nearer they are, and half on their own.
    rotation_deg, zoom, perspective : float
        Largest turn about the line of sight, relative change of size, and change of scale across the layer that each
        layer has by itself.
    brightness : float
        Largest relative change of exposure between the images.
    noise : float
        Standard deviation of the noise of each image, grey levels of 255.
    plain, repetition, patches : float
        Share of the surfaces with hardly any texture, with a pattern that repeats itself, and painted with patches
        of one colour each, 0 to 1; the rest has noise of all scales.
    samples : int
        A side, within each pixel.
    """

    width: int = 256
    height: int = 192
    layers: int = 5
    thin: int = 3
    max_motion_px: float = 8.0
    rotation_deg: float = 4.0
    zoom: float = 0.06
    perspective: float = 0.04
    brightness: float = 0.0
    noise: float = 2.0
    plain: float = 0.1
    repetition: float = 0.05
    patches: float = 0.35
    samples: int = 2

    def __post_init__(self) -> None:
        for name in ("width", "height", "samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.plain + self.repetition + self.patches > 1.0:
            raise ValueError("plain, repetition and patches are shares: expected a sum of at most 1")


@dataclass(frozen=True, eq=False)
class FlowPair:
    """Two images and the truth.

    Attributes
    ----------
    image0, image1 : (H, W, 3) uint8
    flow : (H, W, 2) float32
        From image0 to image1, at the centre of each pixel, exact.
    occlusion : (H, W) bool
        What of image0 is hidden in image1 or leaves it.
    """

    image0: np.ndarray
    image1: np.ndarray
    flow: np.ndarray
    occlusion: np.ndarray


@dataclass(frozen=True, eq=False)
class FlowTruth:
    """What is true of two moments of a scene.

    Attributes
    ----------
    flow : (H, W, 2) float32
    occlusion : (H, W) bool
    layer : (H, W) int32
        Which is seen at the first of them, 0 the background.
    """

    flow: np.ndarray
    occlusion: np.ndarray
    layer: np.ndarray


@dataclass(frozen=True, eq=False)
class FlowScene:
    """Layers in motion, of which images can be taken at any time.

    Attributes
    ----------
    options : FlowPairOptions
    seed : int
    shapes : (L, 16) float64
        Of `geo3d.synthetic.flow_kernels`.
    textures : (L,) int64
        Number of each layer's texture.
    paint : (L, 18) float64
        Texel from place (2 x 3), and colour from texture (3 x 4).
    motions : (L, 6) float64
        Of each layer in a unit of time: translation (2), turn, logarithm of zoom, perspective (2).
    """

    options: FlowPairOptions
    seed: int
    shapes: np.ndarray
    textures: np.ndarray
    paint: np.ndarray
    motions: np.ndarray

    def homographies(self, time: float) -> np.ndarray:
        """(L, 3, 3): where each layer's points are at `time`, from where they are at 0; pixels."""
        tx, ty, turn, zoom, px, py = (time * self.motions).T
        cos, sin = np.exp(zoom) * np.cos(turn), np.exp(zoom) * np.sin(turn)
        one, zero = np.ones_like(tx), np.zeros_like(tx)
        moved = np.stack([cos, -sin, tx, sin, cos, ty, px, py, one], axis=1).reshape(-1, 3, 3)
        centre = self.shapes[:, 1:3]
        to = np.stack([one, zero, -centre[:, 0], zero, one, -centre[:, 1], zero, zero, one], 1)
        back = np.stack([one, zero, centre[:, 0], zero, one, centre[:, 1], zero, zero, one], 1)
        return back.reshape(-1, 3, 3) @ moved @ to.reshape(-1, 3, 3)

    def image(self, time: float) -> np.ndarray:
        """(H, W, 3) uint8: the scene at `time`, with the noise of that moment."""
        options = self.options
        exact = np.empty((options.height, options.width, 3), np.float32)
        inverse = np.linalg.inv(self.homographies(time))
        kernels.photograph(
            inverse,
            self._boxes(time),
            self.shapes,
            self.textures,
            self.paint,
            _bank(),
            options.samples,
            exact,
        )
        moment = np.random.default_rng([self.seed, 7, round(1e6 * time) % 2**32])
        if time != 0.0 and options.brightness:
            gain, offset = moment.uniform(-options.brightness, options.brightness, 2)
            exact = exact * np.float32(1.0 + gain) + np.float32(100.0 * offset)
        if options.noise:
            exact = exact + np.float32(options.noise) * moment.standard_normal(exact.shape, np.float32)
        return np.clip(np.round(exact), 0, 255).astype(np.uint8)

    def truth(self, time0: float, time1: float) -> FlowTruth:
        """Flow and occlusion from the image at `time0` to the one at `time1`."""
        shape = self.options.height, self.options.width
        found = FlowTruth(np.empty((*shape, 2), np.float32), np.empty(shape, bool), np.empty(shape, np.int32))
        first, second = self.homographies(time0), self.homographies(time1)
        inverse = np.linalg.inv(first), np.linalg.inv(second)
        boxes = self._boxes(time0), self._boxes(time1)
        kernels.truth(
            *inverse, second @ inverse[0], *boxes, self.shapes, found.flow, found.occlusion, found.layer
        )
        return found

    def _boxes(self, time: float) -> np.ndarray:
        """(L, 4): left, top, right and bottom of what each layer can cover at a time."""
        x, y, reach = self.shapes[:, 1], self.shapes[:, 2], self.shapes[:, 3]
        corners = np.stack(
            [[x + i * reach, y + j * reach, np.ones_like(x)] for i in (-1, 1) for j in (-1, 1)], axis=2
        )
        moved = np.einsum("lij,jlc->lic", self.homographies(time), corners)
        places = moved[:, :2] / np.maximum(moved[:, 2:], 1e-3)
        boxes = np.concatenate([places.min(axis=2), places.max(axis=2)], axis=1)
        boxes[0] = -np.inf, -np.inf, np.inf, np.inf
        return boxes


def make_flow_pair(options: FlowPairOptions | None = None, seed: int = 0) -> FlowPair:
    """Two images of a made-up scene in motion, and the flow between them.

    Parameters
    ----------
    options : FlowPairOptions, optional
    seed : int
        The same gives the same pair.
    """
    scene = make_flow_scene(options, seed)
    truth = scene.truth(0.0, 1.0)
    return FlowPair(scene.image(0.0), scene.image(1.0), truth.flow, truth.occlusion)


def make_flow_scene(options: FlowPairOptions | None = None, seed: int = 0) -> FlowScene:
    """A made-up scene in motion.

    Parameters
    ----------
    options : FlowPairOptions, optional
    seed : int
        The same gives the same scene.
    """
    options = options or FlowPairOptions()
    rng = np.random.default_rng([seed, 3])
    count = 1 + options.layers + options.thin
    is_thin = np.zeros(count, bool)
    if options.thin:
        is_thin[1 + rng.permutation(count - 1)[: options.thin]] = True
    shapes = np.stack([_shape(options, k, bool(is_thin[k]), rng) for k in range(count)])
    painted = [_paint(options, rng) for _ in range(count)]
    return FlowScene(
        options,
        seed,
        shapes,
        np.array([number for number, _ in painted], np.int64),
        np.stack([paint for _, paint in painted]),
        _motions(options, shapes, rng),
    )


def _shape(options: FlowPairOptions, number: int, is_thin: bool, rng: np.random.Generator) -> np.ndarray:
    width, height = options.width, options.height
    row = np.zeros(16)
    angle = rng.uniform(0, np.pi)
    row[1:6] = rng.uniform(0, width), rng.uniform(0, height), 0.0, np.cos(angle), np.sin(angle)
    side = min(width, height)
    if number == 0:
        row[0], row[1:4] = kernels.EVERYWHERE, (width / 2, height / 2, np.hypot(width, height))
        return row
    if is_thin:
        half_length, half_width = rng.uniform(0.15, 0.5) * side, rng.uniform(0.75, 3.0)
        bend = rng.uniform(-0.3, 0.3) / half_length
        pitch, share = np.inf, 1.0
        if rng.random() < 0.3:  # a fence
            pitch, share = rng.uniform(8.0, 20.0), 2.0 * half_width / rng.uniform(8.0, 20.0)
            half_width, bend = rng.uniform(0.1, 0.25) * side, 0.0
        row[0] = kernels.BAR
        row[6:11] = half_length, half_width, bend, pitch, np.clip(share, 0.15, 0.6) if bend == 0 else 1.0
        row[3] = np.hypot(half_length, half_width + abs(bend) * half_length**2)
    elif rng.random() < 0.4:
        half_length, half_width = rng.uniform(0.08, 0.3, 2) * side
        row[0] = kernels.BAR
        row[6:11] = half_length, half_width, rng.uniform(-0.2, 0.2) / half_length, np.inf, 1.0
        row[3] = np.hypot(half_length, half_width + abs(row[8]) * half_length**2)
    else:
        radius = rng.uniform(0.08, 0.3) * side
        waves = rng.uniform(-0.2, 0.2, 8) / np.repeat([1.0, 1.5, 2.0, 3.0], 2)
        row[0], row[6], row[7:15] = kernels.BLOB, radius, waves
        row[3] = radius * (1.0 + np.abs(waves).sum())
    return row


def _paint(options: FlowPairOptions, rng: np.random.Generator) -> tuple[int, np.ndarray]:
    """Number of a texture, and how it is laid and coloured."""
    kind = rng.random()
    plain = kind < options.plain
    kind -= options.plain
    names = list(_BANK)
    name = "noise"
    if 0.0 <= kind < options.repetition:
        name = "repetition"
    elif options.repetition <= kind < options.repetition + options.patches:
        name = "patches"
    number = sum(_BANK[other] for other in names[: names.index(name)]) + int(rng.integers(_BANK[name]))
    angle, scale = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.4)
    laid = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    contrast = rng.uniform(1.0, 4.0) if plain else rng.uniform(12.0, 40.0)
    mixed = np.eye(3)[rng.permutation(3)] + rng.uniform(-0.25, 0.25, (3, 3))
    color = np.column_stack([contrast * mixed, rng.uniform(50, 205, 3)])
    return number, np.concatenate([np.column_stack([laid, rng.uniform(0, SIZE, 2)]).ravel(), color.ravel()])


def _motions(options: FlowPairOptions, shapes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    count = len(shapes)

    def direction() -> np.ndarray:
        angle = rng.uniform(0, 2 * np.pi)
        return np.array([np.cos(angle), np.sin(angle)])

    camera = rng.uniform(0.2, 1.0) * options.max_motion_px * direction()
    motions = np.empty((count, 6))
    for k in range(count):
        nearness = (k + 1) / count
        own = rng.random() < 0.5
        motions[k, :2] = (
            options.max_motion_px * np.sqrt(rng.uniform(0.0, 1.0)) * direction() if own else nearness * camera
        )
    least = 0.4 if count > 1 else 1.0  # the background moves less than what is before it
    motions[0, :2] *= rng.uniform(least, 1.0)
    size = np.maximum(shapes[:, 3], 10.0)
    motions[:, 2] = np.radians(options.rotation_deg) * rng.uniform(-1, 1, count)
    motions[:, 3] = options.zoom * rng.uniform(-1, 1, count)
    motions[:, 4:] = options.perspective * rng.uniform(-1, 1, (count, 2)) / (2.0 * size[:, None])
    # far from its centre a large layer would go farther than asked for
    reach = options.max_motion_px / np.maximum(size, 1.0)
    motions[:, 2:4] = np.clip(motions[:, 2:4], -reach[:, None], reach[:, None])
    return motions


@cache
def _bank() -> np.ndarray:
    """(N, 256, 256, 3) float32: textures of mean 0 and deviation 1, of the kinds of `_BANK` one after the other."""
    rng = np.random.default_rng(20_11)
    base = np.full(3, 128.0)
    makers = {
        "noise": lambda: noise_texture(base, 30.0, rng),
        "patches": lambda: patch_texture(base, rng),
        "repetition": lambda: repeating_texture(base, rng),
    }
    bank = np.stack([makers[name]() for name, count in _BANK.items() for _ in range(count)])
    bank -= bank.mean(axis=(1, 2), keepdims=True)
    return np.ascontiguousarray(bank / bank.std(axis=(1, 2, 3), keepdims=True), np.float32)
