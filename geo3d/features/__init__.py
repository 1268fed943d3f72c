"""Features of photos, their matches, and which pairs show the same place."""

from geo3d.features.match import MatchOptions, match, match_reference
from geo3d.features.sift import Features, SiftOptions, extract, root_sift

__all__ = [
    "Features",
    "MatchOptions",
    "SiftOptions",
    "extract",
    "match",
    "match_reference",
    "root_sift",
]
