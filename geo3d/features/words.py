"""Visual words: directions that descriptors cluster around, which say where in a photo to look for a match.

The words that come with geo3d are the same for every scene. So the matches of two photos depend on these two alone,
and stay what they are when others are added. They were learnt by `geo3d.features.learn_words` and lie in `words.npy`.

Sivic and Zisserman, "Video Google", ICCV 2003.
"""

from functools import cache
from pathlib import Path

import numpy as np


@cache
def visual_words() -> np.ndarray:
    """(256, 128) uint8, of norm 512 as the descriptors."""
    words = np.load(Path(__file__).with_name("words.npy"))
    words.setflags(write=False)
    return words
