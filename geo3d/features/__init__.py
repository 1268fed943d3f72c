"""Features of photos, their matches, and which pairs show the same place."""

from geo3d.features.choose import check_choice, choose_pairs
from geo3d.features.extract_stage import extract_photos
from geo3d.features.kept import MadeFrom, take_over
from geo3d.features.match_stage import match_photos, verify_matches
from geo3d.features.matcher import MatchOptions, match, match_indexed, match_overlapping, match_reference
from geo3d.features.pairs import (
    exhaustive_pairs,
    gps_pairs,
    natural_key,
    read_pairs,
    sequential_pairs,
)
from geo3d.features.retrieval import likeness, retrieval_pairs, signature
from geo3d.features.sift import Features, SiftOptions, extract, root_sift
from geo3d.features.verify import TwoViewConfig, TwoViewGeometry, VerifyOptions, verify_pair
from geo3d.features.word_index import DescriptorIndex, index_descriptors
from geo3d.features.words import visual_words

__all__ = [
    "DescriptorIndex",
    "Features",
    "MadeFrom",
    "MatchOptions",
    "SiftOptions",
    "TwoViewConfig",
    "TwoViewGeometry",
    "VerifyOptions",
    "check_choice",
    "choose_pairs",
    "exhaustive_pairs",
    "extract",
    "extract_photos",
    "gps_pairs",
    "index_descriptors",
    "likeness",
    "match",
    "match_indexed",
    "match_overlapping",
    "match_photos",
    "match_reference",
    "natural_key",
    "read_pairs",
    "retrieval_pairs",
    "root_sift",
    "sequential_pairs",
    "signature",
    "take_over",
    "verify_matches",
    "verify_pair",
    "visual_words",
]
