"""PLY: what is written is read, by us and by trimesh; what is broken is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.io import PlyMesh, read_ply, write_ply


def make_mesh(seed: int, count: int = 9, dtype: type = np.float64, extras: int = 7) -> PlyMesh:
    """Points with colours, normals, faces as the bits of `extras` tell."""
    rng = np.random.default_rng(seed)
    return PlyMesh(
        (rng.normal(size=(count, 3)) * 1e5).astype(dtype),
        rng.integers(0, 256, (count, 3)).astype(np.uint8) if extras & 1 else None,
        rng.normal(size=(count, 3)).astype(np.float32).astype(np.float64) if extras & 2 else None,
        rng.integers(0, count, (5, 3)) if extras & 4 and count else None,
    )


def assert_same(a: PlyMesh, b: PlyMesh) -> None:
    for name in ("points", "colors", "normals", "faces"):
        found, expected = getattr(a, name), getattr(b, name)
        assert (found is None) == (expected is None), name
        if found is not None:
            assert found.dtype == expected.dtype and np.array_equal(found, expected), name


def write(path, mesh: PlyMesh, format: str) -> None:
    write_ply(path, mesh.points, mesh.colors, mesh.normals, mesh.faces, format)  # type: ignore[arg-type]


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 40),
    st.sampled_from([np.float32, np.float64]),
    st.integers(0, 7),
    st.sampled_from(["binary", "ascii"]),
)
@settings(max_examples=50)
def test_what_is_written_is_read(tmp_path_factory, seed, count, dtype, extras, format):
    path = tmp_path_factory.mktemp("ply") / "x.ply"
    mesh = make_mesh(seed, count, dtype, extras)
    write(path, mesh, format)
    assert_same(read_ply(path), mesh)


@pytest.mark.parametrize("format", ["binary", "ascii"])
@pytest.mark.parametrize("extras", [1, 3, 5, 7])
def test_trimesh_reads_what_is_written(tmp_path, format, extras):
    trimesh = pytest.importorskip("trimesh")
    mesh = make_mesh(0, 30, np.float64, extras)
    write(tmp_path / "x.ply", mesh, format)
    other = trimesh.load(tmp_path / "x.ply", process=False)
    np.testing.assert_allclose(other.vertices, mesh.points)
    if mesh.faces is None:
        assert np.array_equal(other.colors[:, :3], mesh.colors)
    else:
        assert np.array_equal(other.faces, mesh.faces)
        assert np.array_equal(other.visual.vertex_colors[:, :3], mesh.colors)


@pytest.mark.parametrize("encoding", ["binary", "ascii"])
def test_reads_what_trimesh_writes(tmp_path, encoding):
    trimesh = pytest.importorskip("trimesh")
    box = trimesh.creation.box()
    path = tmp_path / "box.ply"
    path.write_bytes(box.export(file_type="ply", encoding=encoding))
    found = read_ply(path)
    np.testing.assert_allclose(found.points, box.vertices)
    assert found.faces is not None and np.array_equal(found.faces, box.faces)


def header(format: str, *lines: str) -> bytes:
    return "\n".join(
        ["ply", f"format {format} 1.0", "comment made by hand", *lines, "end_header", ""]
    ).encode()


XYZ = ("property float x", "property float y", "property float z")


def test_big_endian_polygons_and_unknown_elements(tmp_path):
    """A square and a triangle, elements and properties that are passed over, colours as float."""
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]])
    rows = np.zeros(4, [("x", ">f4"), ("y", ">f4"), ("z", ">f4"), ("q", ">i2"), *[(c, ">f4") for c in "rgb"]])
    rows["x"], rows["y"], rows["z"], rows["r"] = *points.T, 1.0
    lines = (
        "element camera 2", "property double roll",
        "element vertex 4", *XYZ, "property short quality",
        "property float red", "property float green", "property float blue",
        "element face 2", "property uchar flags", "property list uchar uint vertex_index",
        "property list uchar float texcoord",
    )  # fmt: skip
    faces = (
        b"\7\4" + np.arange(4, dtype=">u4").tobytes() + b"\0" + b"\7\3" + np.array([0, 1, 2], ">u4").tobytes()
    )
    faces += b"\1" + bytes(4)
    path = tmp_path / "x.ply"
    path.write_bytes(header("binary_big_endian", *lines) + bytes(16) + rows.tobytes() + faces)
    found = read_ply(path)
    assert np.array_equal(found.points, points.astype(np.float32)) and found.normals is None
    assert found.colors is not None and found.colors.tolist() == [[255, 0, 0]] * 4
    assert found.faces is not None and found.faces.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]
    text = (
        "0 0\n" + "".join(f"{x} {y} {z} 5 1 0 0\n" for x, y, z in points) + "7 4 0 1 2 3 0\n7 3 0 1 2 1 0.5\n"
    )
    path.write_bytes(header("ascii", *lines) + text.encode())
    assert_same(read_ply(path), found)


def test_windows_line_ends(tmp_path):
    write_ply(tmp_path / "x.ply", np.eye(3), format="ascii")
    content = (tmp_path / "x.ply").read_bytes().replace(b"\n", b"\r\n")
    (tmp_path / "x.ply").write_bytes(content)
    assert np.array_equal(read_ply(tmp_path / "x.ply").points, np.eye(3))


@pytest.mark.parametrize("format", ["binary", "ascii"])
def test_truncated(tmp_path, format):
    path = tmp_path / "x.ply"
    write(path, make_mesh(0), format)
    whole = path.read_bytes()
    last = len(whole) if format == "binary" else whole.rindex(b" ")  # a shorter last number cannot be seen
    for size in range(0, last, 3):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"x\.ply"):
            read_ply(path)


@pytest.mark.parametrize("format", ["binary_little_endian", "ascii"])
@pytest.mark.parametrize("count", [2**40, 2**62, -1])
def test_claimed_counts_take_no_memory(tmp_path, format, count):
    path = tmp_path / "x.ply"
    face = "property list uchar int vertex_indices"
    for lines, body in (
        ((f"element vertex {count}", *XYZ), bytes(99)),
        (("element vertex 1", *XYZ, f"element face {count}", face), b"0 0 0 3 0 0 0" * 9),
        ((f"element nothing {count}", "element vertex 1", *XYZ), b"1"),
    ):
        path.write_bytes(header(format, *lines) + body)
        with pytest.raises(ValueError, match=r"x\.ply"):
            read_ply(path)


@given(st.data(), st.sampled_from(["binary", "ascii"]))
@settings(max_examples=150)
def test_damaged_files_give_a_value_error_or_a_mesh(tmp_path_factory, data, format):
    path = tmp_path_factory.getbasetemp() / f"damaged-{format}.ply"
    write(path, make_mesh(0), format)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        read_ply(path)
    except ValueError as error:
        assert "damaged" in str(error)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"points": np.zeros((3, 2))}, "points"),
        ({"points": np.zeros((3, 3)), "colors": np.zeros((3, 3))}, "uint8"),
        ({"points": np.zeros((3, 3)), "normals": np.zeros((2, 3))}, "normals"),
        ({"points": np.zeros((3, 3)), "faces": np.array([[0, 1, 3]])}, "faces"),
        ({"points": np.zeros((3, 3)), "format": "text"}, "format"),
    ],
)
def test_what_cannot_be_written(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        write_ply(tmp_path / "x.ply", **arguments)
    assert not list(tmp_path.iterdir())


def test_faces_of_points_that_are_not_there(tmp_path):
    face = "property list uchar int vertex_indices"
    (tmp_path / "x.ply").write_bytes(
        header("ascii", "element vertex 1", *XYZ, "element face 1", face) + b"0 0 0 3 0 0 9"
    )
    with pytest.raises(ValueError, match="point 9"):
        read_ply(tmp_path / "x.ply")
