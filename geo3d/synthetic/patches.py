"""What the habitat is built of: flat patches, each a triangle, a parallelogram or an ellipse.

A patch spans `p + u a + v b`: the triangle u, v >= 0, u + v <= 1; the parallelogram 0 <= u, v <= 1; the ellipse
inscribed in that parallelogram. World frame: x east, y north, z up, metres.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

TRIANGLE, PARALLELOGRAM, ELLIPSE = 0, 1, 2
LEAF, BARK, ROCK, WOOD, SHINGLE, GLASS = 0, 1, 2, 3, 4, 5  # materials


@dataclass(frozen=True)
class Patches:
    """Patches as arrays, one row a patch."""

    p: np.ndarray  # (N, 3)
    a: np.ndarray  # (N, 3)
    b: np.ndarray  # (N, 3)
    normal: np.ndarray  # (N, 3) unit, for shading
    color: np.ndarray  # (N, 3) linear reflectance
    shape: np.ndarray  # (N,)
    material: np.ndarray  # (N,)

    def __len__(self) -> int:
        return len(self.p)

    def rounded(self) -> Patches:
        """The same with a place that float32 holds exactly."""
        p, a, b = (v.astype(np.float32).astype(np.float64) for v in (self.p, self.a, self.b))
        return replace(self, p=p, a=a, b=b)

    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(N, 3) low and (N, 3) high corners of the boxes around the patches."""
        corners = np.stack([self.p, self.p + self.a, self.p + self.b, self.p + self.a + self.b], axis=1)
        corners[self.shape == TRIANGLE, 3] = self.p[self.shape == TRIANGLE]
        low, high = corners.min(axis=1), corners.max(axis=1)
        centre = self.p + (self.a + self.b) / 2
        reach = np.sqrt(self.a**2 + self.b**2) / 2 * (1 + 1e-9)
        round_ = (self.shape == ELLIPSE)[:, None]
        return np.where(round_, centre - reach, low), np.where(round_, centre + reach, high)

    def moved(self, offset: np.ndarray, turn: float = 0.0, scale: float = 1.0) -> Patches:
        """Scaled, turned about z (radians), then moved."""
        c, s = np.cos(turn), np.sin(turn)
        rotation = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        p, a, b = (scale * v @ rotation for v in (self.p, self.a, self.b))
        return Patches(p + offset, a, b, self.normal @ rotation, self.color, self.shape, self.material)


def patches(p, a, b, color, shape: int, material: int, normal=None) -> Patches:
    """Patches of one shape and material; arguments broadcast; the normal is a x b unless given."""
    p, a, b, color = np.broadcast_arrays(
        *(np.asarray(v, np.float64) for v in np.broadcast_arrays(p, a, b, color))
    )
    p, a, b, color = (v.reshape(-1, 3) for v in (p, a, b, color))
    normal = np.cross(a, b) if normal is None else np.broadcast_to(normal, p.shape)
    normal = normal / np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    ones = np.ones(len(p))
    return Patches(p, a, b, normal, color, shape * ones, material * ones)


def join(parts: list[Patches]) -> Patches:
    """All patches in one."""
    names = ("p", "a", "b", "normal", "color", "shape", "material")
    return Patches(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def box(corner, x, y, z, color, material: int = WOOD) -> Patches:
    """Six faces of the parallelepiped at `corner` with edges x, y, z (right-handed), normals outward."""
    o, x, y, z = (np.asarray(v, np.float64) for v in (corner, x, y, z))
    p = np.array([o, o, o, o + z, o + x, o + y])
    a = np.array([y, z, x, x, y, z])
    b = np.array([x, y, z, y, z, x])
    return patches(p, a, b, np.asarray(color, np.float64), PARALLELOGRAM, material)


def limb(start, end, radius0: float, radius1: float, color, sides: int = 7) -> Patches:
    """A tapered trunk or branch without its ends, with normals that are smooth enough for small radii."""
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    axis = (end - start) / np.linalg.norm(end - start)
    side = np.cross(axis, [0.3, 0.9, 0.1] if abs(axis[2]) > 0.5 else [0, 0, 1])
    side /= np.linalg.norm(side)
    other = np.cross(axis, side)
    turn = 2 * np.pi * np.arange(sides + 1)[:, None] / sides
    ring = np.cos(turn) * side + np.sin(turn) * other
    low, high = start + radius0 * ring, end + radius1 * ring
    first = patches(low[:-1], low[1:] - low[:-1], high[:-1] - low[:-1], color, TRIANGLE, BARK)
    second = patches(high[1:], high[:-1] - high[1:], low[1:] - high[1:], color, TRIANGLE, BARK)
    return join([first, second])


def icosphere(level: int) -> tuple[np.ndarray, np.ndarray]:
    """Vertices (V, 3) on the unit sphere and triangles (F, 3): the icosahedron, split `level` times."""
    g = (1 + 5**0.5) / 2
    edge = np.array([[-1, g, 0], [1, g, 0], [-1, -g, 0], [1, -g, 0]])
    vertices = np.concatenate([np.roll(edge, k, axis=1) for k in range(3)])
    fan = "0 11 5 0 5 1 0 1 7 0 7 10 0 10 11 1 5 9 5 11 4 11 10 2 10 7 6 7 1 8"
    rest = "3 9 4 3 4 2 3 2 6 3 6 8 3 8 9 4 9 5 2 4 11 6 2 10 8 6 7 9 8 1"
    faces = np.array((fan + " " + rest).split(), np.int64).reshape(-1, 3)
    for _ in range(level):
        edges = np.sort(faces[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
        unique, inverse = np.unique(edges, axis=0, return_inverse=True)
        middle = len(vertices) + inverse.reshape(-1, 3)
        vertices = np.concatenate([vertices, vertices[unique].mean(axis=1)])
        a, b, c = faces.T
        ab, bc, ca = middle.T
        faces = np.stack([a, ab, ca, b, bc, ab, c, ca, bc, ab, bc, ca], axis=1).reshape(-1, 3)
    return vertices / np.linalg.norm(vertices, axis=1, keepdims=True), faces
