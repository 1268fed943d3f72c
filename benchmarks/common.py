"""What the benchmarks share: the arguments, the rate of the machine, the file of figures."""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np


def make_parser(description: str, data: str, quick: str, needs_data: bool = True) -> argparse.ArgumentParser:
    """Parser of `--data FOLDER [--json FILE] [--quick]`; `data` and `quick` say what these mean."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=needs_data, metavar="FOLDER", help=data)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file")
    parser.add_argument("--quick", action="store_true", help=quick)
    return parser


def sgemm_rate() -> float:
    """GFLOP/s of a 2048 x 2048 float32 product, all threads, the best of five."""
    a = np.random.default_rng(0).random((2048, 2048), dtype=np.float32)
    times = []
    for _ in range(5):
        start = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(times) / 1e9


def print_machine() -> None:
    """The first line of every table: absolute times scale with it."""
    print(f"sgemm {sgemm_rate():.0f} GFLOP/s, {os.cpu_count()} cores", flush=True)


def write_figures(path: Path | None, figures: dict[str, dict[str, dict[str, float]]]) -> None:
    """Write `{case: {implementation: {figure: number}}}` as JSON, if there is a path."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n")
