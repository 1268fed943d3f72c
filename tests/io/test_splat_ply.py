"""INRIA's PLY: what is written is read, by us, by trimesh and by the layout's definition; what is broken is refused."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.io import WorldFrame, read_splat_ply, write_splat_ply
from geo3d.io.splat_file import LARGEST_LOG_SCALE, LARGEST_LOGIT
from geo3d.scene import Gaussians
from tests.io.splats import FRAME, PARTS, assert_same, make_gaussians


def names_of(degree: int) -> list[str]:
    """INRIA's properties in INRIA's order."""
    rest = [f"f_rest_{i}" for i in range(3 * ((degree + 1) ** 2 - 1))]
    return [*["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"], *rest,
            *["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]]  # fmt: skip


def raw_ply(path, fields: list[tuple[str, np.ndarray]], count: int | None = None, order: str = "<") -> None:
    """A PLY of columns, by hand; the header claims `count`."""
    kinds = {"f4": "float", "f8": "double", "u1": "uchar", "i4": "int"}
    rows = np.empty(len(fields[0][1]), [(n, order + v.dtype.str[1:]) for n, v in fields])
    for name, values in fields:
        rows[name] = values
    lines = ["ply", f"format binary_{'little' if order == '<' else 'big'}_endian 1.0"]
    lines += [f"element vertex {len(rows) if count is None else count}"]
    lines += [f"property {kinds[v.dtype.str[1:]]} {n}" for n, v in fields]
    path.write_bytes("\n".join([*lines, "end_header", ""]).encode() + rows.tobytes())


def columns(g: Gaussians) -> list[tuple[str, np.ndarray]]:
    """Properties of INRIA's layout, by their definition."""
    above = g.sh.shape[1] - 1
    values = {f"f_rest_{i}": g.sh[:, 1 + i % above, i // above] for i in range(3 * above)}
    for name, part in (("f_dc", g.sh[:, 0]), ("scale", g.log_scales), ("rot", g.quaternions)):
        values |= {f"{name}_{i}": part[:, i] for i in range(part.shape[1])}
    values |= {name: g.means[:, i] for i, name in enumerate("xyz")}
    values |= {"opacity": g.logit_opacities, **dict.fromkeys(("nx", "ny", "nz"), np.zeros(len(g), "f4"))}
    return [(name, values[name]) for name in names_of(g.sh_degree)]


@given(st.integers(0, 2**32 - 1), st.integers(0, 40), st.integers(0, 3), st.booleans(), st.booleans())
@settings(max_examples=40)
def test_what_is_written_is_read(tmp_path_factory, seed, count, degree, antialiased, placed):
    path = tmp_path_factory.mktemp("ply") / "x.ply"
    g, frame = make_gaussians(seed, count, degree, antialiased), FRAME if placed else WorldFrame()
    write_splat_ply(path, g, frame)
    read = read_splat_ply(path)
    assert_same(read.gaussians, g)
    assert read.frame == frame and read.dropped == 0


@pytest.mark.parametrize("degree", range(4))
def test_the_layout_is_inrias(tmp_path, degree):
    g = make_gaussians(degree, 12, degree)
    write_splat_ply(tmp_path / "ours.ply", g)
    raw_ply(tmp_path / "theirs.ply", columns(g))
    assert (tmp_path / "ours.ply").read_bytes() == (tmp_path / "theirs.ply").read_bytes()


def test_trimesh_reads_what_is_written(tmp_path):
    trimesh = pytest.importorskip("trimesh")
    g = make_gaussians(3, 30)
    write_splat_ply(tmp_path / "x.ply", g, FRAME)
    cloud = trimesh.load(tmp_path / "x.ply", process=False)
    data = cloud.metadata["_ply_raw"]["vertex"]["data"]
    assert np.array_equal(cloud.vertices, g.means)
    for name, values in columns(g):
        assert np.array_equal(np.ravel(data[name]), values), name


@given(st.integers(0, 2**32 - 1), st.integers(0, 3), st.sampled_from("<>"))
@settings(max_examples=20)
def test_any_order_type_and_extra_property_is_read(tmp_path_factory, seed, degree, order):
    path = tmp_path_factory.mktemp("ply") / "x.ply"
    rng = np.random.default_rng(seed)
    g = make_gaussians(seed, 7, degree)
    fields = [
        (n, v.astype("f8") if rng.random() < 0.3 else v) for n, v in columns(g) if not n.startswith("n")
    ]
    fields += [("red", rng.integers(0, 256, 7).astype("u1")), ("label", rng.integers(0, 9, 7).astype("i4"))]
    rng.shuffle(fields)  # type: ignore[arg-type]
    raw_ply(path, fields, order=order)
    assert_same(read_splat_ply(path).gaussians, g)


def test_ascii_is_read(tmp_path):
    g = make_gaussians(0, 5, 1)
    fields = columns(g)
    header = ["ply", "format ascii 1.0", "element camera 1", "property int id", "element vertex 5"]
    header += [f"property float {n}" for n, _ in fields]
    rows = [" ".join(map(repr, row)) for row in np.stack([v for _, v in fields], 1).tolist()]
    (tmp_path / "x.ply").write_text("\n".join([*header, "end_header", "7", *rows, ""]))
    assert_same(read_splat_ply(tmp_path / "x.ply").gaussians, g)


def test_rows_that_are_no_gaussians_are_left_out_and_counted(tmp_path, caplog):
    g = make_gaussians(1, 12)
    g.means[0, 1] = np.nan
    g.sh[2, 5, 1] = np.inf
    g.quaternions[4] = 0
    g.log_scales[6, 2] = np.nan
    g.log_scales[7, 0] = 1e9
    g.logit_opacities[9] = np.nan
    g.quaternions[11, 3] = -np.inf
    raw_ply(tmp_path / "x.ply", columns(g))
    with caplog.at_level(logging.WARNING, "geo3d"):
        read = read_splat_ply(tmp_path / "x.ply")
    assert read.dropped == 7 and "7 of 12 rows" in caplog.text and "x.ply" in caplog.text
    good = [1, 3, 5, 8, 10]
    assert_same(read.gaussians, Gaussians(*(getattr(g, name)[good] for name in PARTS)))
    write_splat_ply(tmp_path / "y.ply", g)
    assert_same(read_splat_ply(tmp_path / "y.ply").gaussians, read.gaussians)


def test_opaque_and_flat_ones_of_converters_are_kept(tmp_path):
    g = make_gaussians(1, 3)
    g.logit_opacities[:] = np.inf, -np.inf, 0
    g.log_scales[1, 2] = -np.inf
    raw_ply(tmp_path / "x.ply", columns(g))
    read = read_splat_ply(tmp_path / "x.ply")
    assert read.dropped == 0 and read.gaussians.log_scales[1, 2] == -LARGEST_LOG_SCALE
    assert read.gaussians.logit_opacities.tolist() == [LARGEST_LOGIT, -LARGEST_LOGIT, 0]


def test_a_file_of_nothing_but_nan_is_refused(tmp_path):
    g = make_gaussians(1, 3)
    g.means[:] = np.nan
    raw_ply(tmp_path / "x.ply", columns(g))
    with pytest.raises(ValueError, match=r"x\.ply: none of its 3 rows is a Gaussian"):
        read_splat_ply(tmp_path / "x.ply")


@pytest.mark.parametrize("count", [8, 10**9, 10**15, 2**64, 10**30])
def test_a_header_that_claims_more_than_there_is_costs_nothing(tmp_path, count):
    raw_ply(tmp_path / "x.ply", columns(make_gaussians(0, 7)), count)
    with pytest.raises(ValueError, match="it is truncated"):
        read_splat_ply(tmp_path / "x.ply")


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40)
def test_a_cut_file_is_refused(tmp_path_factory, seed):
    path = tmp_path_factory.mktemp("ply") / "x.ply"
    write_splat_ply(path, make_gaussians(seed, 5, 1), FRAME)
    whole = path.read_bytes()
    path.write_bytes(whole[: seed % len(whole)])
    with pytest.raises(ValueError, match=r"x\.ply"):
        read_splat_ply(path)


def test_what_is_not_gaussians_is_refused_with_the_reason(tmp_path):
    fields, path = columns(make_gaussians(0, 4, 1)), tmp_path / "x.ply"
    raw_ply(path, fields[:6])
    with pytest.raises(ValueError, match="a point cloud; `geo3d train` makes Gaussians"):
        read_splat_ply(path)
    raw_ply(path, [(n, v) for n, v in fields if n != "opacity"])
    with pytest.raises(ValueError, match="no opacity"):
        read_splat_ply(path)
    raw_ply(path, [(n, v) for n, v in fields if n != "f_rest_3"])
    with pytest.raises(ValueError, match=r"expected f_rest_0 to f_rest_8, 23 or 44 .* found 8"):
        read_splat_ply(path)
    path.write_bytes(
        b"ply\nformat ascii 1.0\nelement vertex 1\nproperty list uchar float x\nend_header\n1 2\n"
    )
    with pytest.raises(ValueError, match="lists"):
        read_splat_ply(path)
    path.write_bytes(b"ply\nformat ascii 1.0\nelement face 0\nproperty int x\nend_header\n")
    with pytest.raises(ValueError, match="no vertices"):
        read_splat_ply(path)


@pytest.mark.parametrize(
    "text", ['{"metric"', "[" * 5000, '{"origin": {"latitude_deg": 1e999}}', "17", '{"origin": 3}']
)
def test_a_world_that_makes_no_sense_is_as_none(tmp_path, text):
    path = tmp_path / "x.ply"
    write_splat_ply(path, make_gaussians(0, 2, 0))
    path.write_bytes(
        path.read_bytes().replace(b"element", f"comment geo3d world {text}\nelement".encode(), 1)
    )
    assert read_splat_ply(path).frame == WorldFrame()


def test_torch_tensors_are_written(tmp_path):
    torch = pytest.importorskip("torch")
    g = make_gaussians(0, 6)
    tensors = Gaussians(*(torch.tensor(getattr(g, name), requires_grad=True) for name in PARTS))
    write_splat_ply(tmp_path / "x.ply", tensors)
    assert_same(read_splat_ply(tmp_path / "x.ply").gaussians, g)
