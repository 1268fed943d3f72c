"""What several tests of structure from motion start from."""

import numpy as np
import pytest

from geo3d.sfm import MatchGraph, PairMatches


def _graph_of(scene, views=None, cameras=None):
    """The matches of a synthetic scene: all points that two views have in common."""
    recon = scene.reconstruction
    ids = sorted(recon.views) if views is None else views
    pairs = []
    for a, i in enumerate(ids):
        for b in range(a + 1, len(ids)):
            common, in_a, in_b = np.intersect1d(
                scene.point_rows[i], scene.point_rows[ids[b]], return_indices=True
            )
            good = ~(scene.outliers[i][in_a] | scene.outliers[ids[b]][in_b])
            if good.sum() >= 15:
                pairs.append(PairMatches(a, b, np.column_stack([in_a, in_b])))
            assert len(common) == len(in_a)
    return MatchGraph(
        view_ids=ids,
        names=[recon.views[i].name for i in ids],
        camera_ids=[recon.views[i].camera_id for i in ids],
        cameras=dict(cameras or recon.cameras),
        keypoints=[recon.views[i].keypoints for i in ids],
        pairs=pairs,
    )


@pytest.fixture
def graph_of():
    """The matches of a synthetic scene as a graph: `graph_of(scene, views=None, cameras=None)`."""
    return _graph_of
