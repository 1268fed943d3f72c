"""One peer's optical flow of the pairs in a folder; run by flow.py in a process of its own.

    python flow_peers.py PEER FOLDER REPEATS

Reads FOLDER/*.npz (image0, image1: (H, W, 3) uint8) and writes FOLDER/NAME.PEER.npz (flow, ms: the best of the
repeats after a first run). Needs nothing of geo3d, so that it runs in an environment with opencv-contrib-python too.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np


def gray(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def farneback(image0: np.ndarray, image1: np.ndarray) -> np.ndarray:
    return cv2.calcOpticalFlowFarneback(gray(image0), gray(image1), None, 0.5, 5, 15, 3, 5, 1.2, 0)


def dis(preset: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    found = cv2.DISOpticalFlow_create(preset)
    return lambda image0, image1: found.calc(gray(image0), gray(image1), None)


def tv_l1(image0: np.ndarray, image1: np.ndarray) -> np.ndarray:
    from skimage.registration import optical_flow_tvl1

    v, u = optical_flow_tvl1(gray(image0) / np.float32(255.0), gray(image1) / np.float32(255.0))
    return np.stack([u, v], axis=2)


def deepflow() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    found = cv2.optflow.createOptFlow_DeepFlow()
    return lambda image0, image1: found.calc(gray(image0), gray(image1), None)


PEERS: dict[str, Callable[[], Callable[[np.ndarray, np.ndarray], np.ndarray]]] = {
    "farneback": lambda: farneback,
    "dis-fast": lambda: dis(cv2.DISOPTICAL_FLOW_PRESET_FAST),
    "dis-medium": lambda: dis(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
    "skimage-tv-l1": lambda: tv_l1,
    "deepflow": deepflow,
}


def main() -> None:
    peer, folder, repeats = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    find = PEERS[peer]()
    for path in sorted(path for path in folder.glob("*.npz") if "." not in path.stem):
        with np.load(path) as case:
            image0, image1 = case["image0"], case["image1"]
        flow, times = find(image0, image1), []
        for _ in range(repeats):
            start = time.perf_counter()
            flow = find(image0, image1)
            times.append(1000.0 * (time.perf_counter() - start))
        np.savez(folder / f"{path.stem}.{peer}.npz", flow=flow.astype(np.float32), ms=min(times))


if __name__ == "__main__":
    main()
