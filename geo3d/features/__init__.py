"""Features of photos, their matches, and which pairs show the same place."""

from geo3d.features.match import MatchOptions, match, match_reference
from geo3d.features.pairs import (
    exhaustive_pairs,
    gps_pairs,
    natural_key,
    read_pairs,
    sequential_pairs,
)
from geo3d.features.sift import Features, SiftOptions, extract, root_sift

__all__ = [
    "Features",
    "MatchOptions",
    "SiftOptions",
    "exhaustive_pairs",
    "extract",
    "gps_pairs",
    "match",
    "match_reference",
    "natural_key",
    "read_pairs",
    "root_sift",
    "sequential_pairs",
]
