"""Lines of an untrusted text file, with the number of the line in every complaint."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path


class TextFile:
    """The lines of a UTF-8 file.

    Parameters
    ----------
    path : path-like
        File to read.

    Raises
    ------
    ValueError
        If it is not UTF-8.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        try:
            self.lines = self.path.read_bytes().decode("utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{self.path}: expected text in UTF-8, found {error.reason} at byte {error.start}"
            ) from None
        self.row = 0  # of the line that was given last, from 1

    def error(self, message: str) -> ValueError:
        return ValueError(f"{self.path}, line {self.row}: {message}")

    def content(self) -> Iterator[str]:
        """Lines that are neither empty nor comments, stripped; the line after one is read by `next_line`."""
        while self.row < len(self.lines):
            line = self.next_line()
            if line and not line.startswith("#"):
                yield line

    def next_line(self) -> str:
        """The next line whatever it is, stripped; empty at the end of the file."""
        self.row += 1
        return self.lines[self.row - 1].strip() if self.row <= len(self.lines) else ""

    def floats(self, tokens: Sequence[str], what: str) -> list[float]:
        try:
            return list(map(float, tokens))
        except ValueError:
            raise self.error(f"expected numbers for {what}, found {' '.join(tokens[:12])[:120]!r}") from None

    def integers(self, tokens: Sequence[str], what: str, largest: int = 2**32 - 1) -> list[int]:
        """Integers from 0 to `largest`."""
        try:
            values = list(map(int, tokens))
        except ValueError:
            raise self.error(f"expected integers for {what}, found {' '.join(tokens[:12])[:120]!r}") from None
        if values and (min(values) < 0 or max(values) > largest):
            raise self.error(
                f"expected integers from 0 to {largest} for {what}, found {min(values)} to {max(values)}"
            )
        return values

    def at_least(self, tokens: Sequence[str], count: int, what: str) -> None:
        if len(tokens) < count:
            raise self.error(
                f"expected {what} ({count} or more items), found {len(tokens)}; is it truncated?"
            )
