"""What tells one training from another: its photos, cameras, poses and options."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from geo3d.render.views import ViewSet

_SAMPLE = 64 << 10  # bytes


def views_key(views: ViewSet, told: Mapping[str, Any]) -> str:
    """Hash of views and of what `told` says beside; 32 hexadecimal digits.

    Of a photo it has the size and 192 KiB, since to read thousands of photos whole takes minutes.

    Parameters
    ----------
    views : ViewSet
    told : mapping
        What JSON can hold: the options that the result depends on.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(dict(told), sort_keys=True).encode())
    for view in (*views.views, *views.held_out):
        digest.update(f"{view.name}\0{view.camera.model}\0".encode())
        for file in (view.photo, *(() if view.mask is None else (view.mask,))):
            digest.update(_sample(file))
        digest.update(np.ascontiguousarray(view.camera.params).tobytes())
        digest.update(np.ascontiguousarray(view.cam_from_world.matrix4()).tobytes())
    digest.update(np.ascontiguousarray(views.points).tobytes())
    return digest.hexdigest()


def _sample(path: Path) -> bytes:
    """Size, beginning, middle and end of a file; nothing of one that cannot be read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            parts = [size.to_bytes(8, "little")]
            for place in (0, max(0, size // 2 - _SAMPLE // 2), max(0, size - _SAMPLE)):
                file.seek(place)
                parts.append(file.read(_SAMPLE))
            return b"".join(parts)
    except OSError:
        return b""
