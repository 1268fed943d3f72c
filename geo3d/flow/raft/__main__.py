"""Train a small RAFT on made-up pairs, for `geo3d flow --method raft --weights FILE`."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from geo3d.util.progress import format_seconds, make_progress


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, or go on where an earlier run stopped; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m geo3d.flow.raft", description=__doc__)
    parser.add_argument("file", type=Path, help="of the weights; if it is there, its training goes on")
    parser.add_argument("--steps", type=int, help="of the training, in all")
    given = parser.parse_args(arguments)
    try:
        from geo3d.flow.raft.training import TrainingOptions, train_raft
        from geo3d.flow.raft.training_pairs import training_pair

        options = TrainingOptions()
        if given.steps is not None:
            options = replace(options, steps=given.steps)
        done = train_raft(given.file, training_pair, options, make_progress())
    except (ValueError, OSError, ImportError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: stopped; the same command goes on", file=sys.stderr)
        return 130
    last = done.curve[-1]
    print(
        f"{given.file}: mean endpoint error {last.epe_px:.2f} px on unseen pairs (no flow at all: "
        f"{done.zero_epe_px:.2f}), trained in {format_seconds(last.seconds)}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
