"""What a user chooses of dense matching, and what each choice stands for."""

from dataclasses import dataclass
from typing import Literal

ONE_PASS = 5
"""Number of paths of the matcher that goes over the rows once, downwards."""

Quality = Literal["fast", "balanced", "accurate"]


@dataclass(frozen=True)
class SemiGlobalOptions:
    """Numbers of the semi-global matcher. Costs and penalties are in units of a byte volume, 0 to 255.

    Attributes
    ----------
    census_radius : (int, int)
        Of the census window, rows and columns, pixels.
    census_weight : int
        Cost of a bit that differs.
    difference_weight : int
        Cost of a grey level of colour difference, summed over the channels, sixteenths.
    difference_limit : int
        Colour differences, summed over the channels, count up to this.
    p1, p2 : int
        Penalty of a step of one disparity from pixel to pixel, and of larger ones where the image is flat.
    edge_levels : float
        Difference of grey levels at which a large step costs half.
    paths : int
        4, 8 or 16 over the whole image; or 5, those from the sides and from above, in one pass without a volume, which
        is much faster: then the largest cost and `p2` must not sum to more than 255, and the census window has at most
        25 pixels.
    tolerance_px : float
        By which left and right may differ.
    uniqueness : float
        By which share of the second smallest sum the smallest has to lie below it, 0 to 1. Patterns that repeat have
        several that are alike.
    speckle_px : int
        Islands smaller than this are dropped, pixels.
    median_radius : int
        Of the weighted median over all pixels; 0 for none.
    fill_radius : int
        Of that over the filled ones; 0 for none.
    median_levels : float
        Colour difference at which the weight falls to 1 / e, grey levels.
    smooth_radius : int
        Of the mean over each surface, pixels; 0 for none.
    smooth_levels : float
        The same as `median_levels`, for the mean.
    doubled : bool
        Match the pair once more at twice its size, where fine structures and fractions come out better, and take that
        where it is known.
    """

    census_radius: tuple[int, int] = (3, 4)
    census_weight: int = 3
    difference_weight: int = 12
    difference_limit: int = 90
    p1: int = 24
    p2: int = 120
    edge_levels: float = 60.0
    paths: int = 8
    tolerance_px: float = 1.0
    uniqueness: float = 0.02
    speckle_px: int = 50
    median_radius: int = 4
    fill_radius: int = 9
    median_levels: float = 5.0
    smooth_radius: int = 3
    smooth_levels: float = 10.0
    doubled: bool = False

    def __post_init__(self) -> None:
        rows, columns = self.census_radius
        if min(rows, columns) < 0 or not 1 < (2 * rows + 1) * (2 * columns + 1) <= 65:
            raise ValueError(
                f"census_radius: expected a window of 2 to 65 pixels, got {2 * columns + 1}x{2 * rows + 1}"
            )
        if self.paths not in (4, ONE_PASS, 8, 16):
            raise ValueError(f"paths: expected 4, 5, 8 or 16, got {self.paths}")
        if not 0 < self.p1 <= self.p2 <= 2000:
            raise ValueError(f"p1, p2: expected 0 < p1 <= p2 <= 2000, got {self.p1}, {self.p2}")
        for name, most in (("census_weight", 255), ("difference_weight", 80), ("difference_limit", 765)):
            if not 0 <= getattr(self, name) <= most:
                raise ValueError(f"{name}: expected from 0 to {most}, got {getattr(self, name)}")
        bits = (2 * rows + 1) * (2 * columns + 1) - 1
        most = self.census_weight * bits + (self.difference_weight * self.difference_limit >> 4)
        if self.paths == ONE_PASS and (bits > 24 or most + self.p2 > 255):
            raise ValueError(
                f"paths: 5 of them take a census window of at most 25 pixels, got {bits + 1}, and costs that sum "
                f"with p2 to at most 255, got {most} + {self.p2}"
            )
        if not 0.0 <= self.uniqueness < 1.0:
            raise ValueError(f"uniqueness: expected from 0 to below 1, got {self.uniqueness}")
        for name in ("edge_levels", "median_levels", "smooth_levels"):
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name}: expected a positive number, got {getattr(self, name)}")


@dataclass(frozen=True)
class StereoOptions:
    """How a rectified pair is matched.

    Attributes
    ----------
    method : "sgm", "patchmatch", "opencv" or "block"
        geo3d's own semi-global matching; that and then PatchMatch with slanted windows, the most accurate; or OpenCV's
        StereoSGBM or block matching, to compare with.
    quality : "fast", "balanced" or "accurate"
        Time for accuracy.
    min_disparity, max_disparity : int
        Range of x_left - x_right that is searched, pixels, both ends included.
    semi_global : SemiGlobalOptions, optional
        Instead of those of the quality.
    """

    method: Literal["sgm", "patchmatch", "opencv", "block"] = "sgm"
    quality: Quality = "balanced"
    min_disparity: int = 0
    max_disparity: int = 127
    semi_global: SemiGlobalOptions | None = None

    def __post_init__(self) -> None:
        if self.method not in ("sgm", "patchmatch", "opencv", "block"):
            raise ValueError(
                f'method: expected "sgm", "patchmatch", "opencv" or "block", got {self.method!r}'
            )
        if self.quality not in ("fast", "balanced", "accurate"):
            raise ValueError(f'quality: expected "fast", "balanced" or "accurate", got {self.quality!r}')
        if not 4 <= self.max_disparity - self.min_disparity < 4096:
            raise ValueError(
                "min_disparity, max_disparity: expected a range of 4 to 4096 pixels, got "
                f"{self.min_disparity} to {self.max_disparity}"
            )


QUALITIES: dict[str, SemiGlobalOptions] = {
    "fast": SemiGlobalOptions(
        census_radius=(2, 2), p2=112, paths=ONE_PASS, median_radius=0, fill_radius=0, smooth_radius=0
    ),
    "balanced": SemiGlobalOptions(),
    "accurate": SemiGlobalOptions(doubled=True),
}
"""What each quality stands for."""
