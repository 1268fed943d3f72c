"""The look that the pictures of the gallery share, and where they go."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

TEAL, ORANGE, INK, FAINT = "#00897b", "#e4572e", "#263238", "#b0bec5"
IMAGES = Path(__file__).parents[1] / "docs" / "images"

plt.rcParams.update(
    {
        "font.size": 10,
        "axes.titlesize": 10.5,
        "axes.titlelocation": "left",
        "axes.edgecolor": FAINT,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": False,
        "legend.frameon": False,
        "figure.facecolor": "white",
        "savefig.dpi": 130,
    }
)


def save(figure: plt.Figure, script: str) -> None:
    """Write the picture of a script to docs/images, under the script's name."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    path = IMAGES / f"{Path(script).stem}.jpg"
    figure.savefig(path, bbox_inches="tight", pil_kwargs={"quality": 88, "optimize": True})
    print(f"wrote {path}")
