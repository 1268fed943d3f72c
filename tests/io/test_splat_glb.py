"""Gaussians in GLB: what is written is read, also through nodes and normalised integers; what lies is refused."""

import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geo3d.geometry import SO3, Sim3, matrix_to_quaternion, quaternion_to_matrix
from geo3d.io import WorldFrame, read_splat_glb, write_splat_glb
from geo3d.io.splat_axes import Y_UP_FROM_WORLD, moved
from geo3d.scene import Gaussians
from tests.io.splats import FRAME, make_gaussians

KHR = "KHR_gaussian_splatting"


def opened(path) -> tuple[dict, bytes]:
    """The two chunks, by the definition of GLB."""
    data = path.read_bytes()
    magic, version, size, text, kind = struct.unpack_from("<4sIIII", data)
    assert (magic, version, size, kind) == (b"glTF", 2, len(data), 0x4E4F534A) and text % 4 == 0
    length, kind = struct.unpack_from("<II", data, 20 + text)
    assert kind == 0x004E4942 and 28 + text + length == len(data)
    return json.loads(data[20 : 20 + text]), data[28 + text :]


def closed(path, document, binary: bytes) -> None:
    text = json.dumps(document).encode()
    text += b" " * (-len(text) % 4)
    head = struct.pack("<4sIIII", b"glTF", 2, 28 + len(text) + len(binary), len(text), 0x4E4F534A)
    path.write_bytes(head + text + struct.pack("<II", len(binary), 0x004E4942) + binary)


def column(document: dict, binary: bytes, name: str) -> np.ndarray:
    accessor = document["accessors"][document["meshes"][0]["primitives"][0]["attributes"][name]]
    view = document["bufferViews"][accessor["bufferView"]]
    kind = {5126: "<f4", 5121: "u1"}[accessor["componentType"]]
    values = np.frombuffer(binary[view["byteOffset"] :][: view["byteLength"]], kind)
    return values.reshape(accessor["count"], -1)


def axes(g: Gaussians) -> np.ndarray:
    m = quaternion_to_matrix(g.quaternions) * [1, 2, 3]
    return m @ np.swapaxes(m, 1, 2)


def assert_close(found: Gaussians, expected: Gaussians, atol: float = 1e-5) -> None:
    assert found.sh.shape == expected.sh.shape and found.antialiased == expected.antialiased
    for name in ("means", "log_scales", "sh"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=atol, err_msg=name)
    a, b = (1 / (1 + np.exp(-g.logit_opacities.astype(np.float64))) for g in (found, expected))
    np.testing.assert_allclose(a, b, atol=1e-6)
    np.testing.assert_allclose(axes(found), axes(expected), atol=1e-4)


@given(st.integers(0, 2**32 - 1), st.integers(0, 30), st.integers(0, 3), st.booleans(), st.booleans())
@settings(max_examples=40)
def test_what_is_written_is_read(tmp_path_factory, seed, count, degree, antialiased, placed):
    path = tmp_path_factory.mktemp("glb") / "x.glb"
    g, frame = make_gaussians(seed, count, degree, antialiased), FRAME if placed else WorldFrame()
    write_splat_glb(path, g, frame)
    read = read_splat_glb(path)
    assert read.frame == frame and read.dropped == 0
    assert np.array_equal(read.gaussians.means, g.means) and np.array_equal(read.gaussians.sh, g.sh)
    if count:
        assert_close(read.gaussians, g)


def test_the_document_and_the_attributes_are_the_extensions(tmp_path):
    g = make_gaussians(0, 8, 2)
    write_splat_glb(tmp_path / "x.glb", g, FRAME)
    document, binary = opened(tmp_path / "x.glb")
    primitive = document["meshes"][0]["primitives"][0]
    assert document["extensionsUsed"] == [KHR] and primitive["mode"] == 0
    assert primitive["extensions"][KHR] == {"kernel": "ellipse", "colorSpace": "srgb_rec709_display"}
    x, y, z, w = document["nodes"][0]["rotation"]
    np.testing.assert_allclose(
        quaternion_to_matrix([w, x, y, z]) @ [0, 0, 1], [0, 1, 0], atol=1e-12
    )  # up is y
    position = document["accessors"][primitive["attributes"]["POSITION"]]
    assert position["min"] == g.means.min(0).tolist() and position["max"] == g.means.max(0).tolist()
    np.testing.assert_allclose(column(document, binary, f"{KHR}:SCALE"), np.exp(g.log_scales), rtol=1e-6)
    q = column(document, binary, f"{KHR}:ROTATION")
    np.testing.assert_allclose(np.linalg.norm(q, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.cross(q[:, :3], g.quaternions[:, 1:]), 0, atol=1e-6)
    opacity = column(document, binary, f"{KHR}:OPACITY")[:, 0]
    np.testing.assert_allclose(opacity, 1 / (1 + np.exp(-g.logit_opacities)), rtol=1e-5)
    for degree in range(3):
        for n in range(2 * degree + 1):
            found = column(document, binary, f"{KHR}:SH_DEGREE_{degree}_COEF_{n}")
            assert np.array_equal(found, g.sh[:, degree**2 + n])
    srgb = np.clip(0.5 + 0.28209479 * g.sh[:, 0], 0, 1)
    color = column(document, binary, "COLOR_0") / 255
    np.testing.assert_allclose(color[:, :3] ** (1 / 2.2), srgb, atol=0.05)
    assert document["asset"]["extras"]["geo3d"]["world"]["crs"] == "EPSG:32632"


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25)
def test_nodes_move_what_hangs_on_them(tmp_path_factory, seed):
    path, rng = tmp_path_factory.mktemp("glb") / "x.glb", np.random.default_rng(seed)
    g = make_gaussians(seed, 6)
    write_splat_glb(path, g)
    document, binary = opened(path)
    a, b = (
        Sim3(np.exp(rng.normal(0, 0.3)), SO3.exp(rng.normal(0, 2, 3)).matrix, rng.normal(0, 3, 3))
        for _ in range(2)
    )
    w, x, y, z = matrix_to_quaternion(b.rotation).tolist()
    child = {
        "mesh": 0,
        "rotation": [x, y, z, w],
        "translation": b.translation.tolist(),
        "scale": [float(b.scale)] * 3,
    }
    document["nodes"] = [child, {"children": [0, 2], "matrix": a.matrix4().T.ravel().tolist()}, {"mesh": 0}]
    document["scenes"][0]["nodes"] = [1]
    closed(path, document, binary)
    to_world = Sim3(1.0, Y_UP_FROM_WORLD.T, np.zeros(3))
    found = read_splat_glb(path).gaussians
    for part, move in ((slice(0, 6), a), (slice(6, 12), a @ b)):
        parts = (
            getattr(found, n)[part] for n in ("means", "quaternions", "log_scales", "logit_opacities", "sh")
        )
        assert_close(Gaussians(*parts), moved(g, to_world @ move), 2e-4)


def test_normalised_integers_and_strides_are_read(tmp_path):
    g = make_gaussians(0, 4, 0)
    write_splat_glb(tmp_path / "x.glb", g)
    document, binary = opened(tmp_path / "x.glb")
    rows = np.zeros(4, [("q", "<i2", 4), ("o", "u1"), ("pad", "u1", 3)])
    q = np.roll(g.quaternions / np.linalg.norm(g.quaternions, axis=1, keepdims=True), -1, 1)
    rows["q"], rows["o"] = np.rint(q * 32767), [0, 51, 255, 128]
    attributes = document["meshes"][0]["primitives"][0]["attributes"]
    for name, offset, kind, shape in (("ROTATION", 0, 5122, "VEC4"), ("OPACITY", 8, 5121, "SCALAR")):
        attributes[f"{KHR}:{name}"] = len(document["accessors"])
        document["accessors"] += [
            {"bufferView": len(document["bufferViews"]), "byteOffset": offset, "componentType": kind, "count": 4,
             "type": shape, "normalized": True}
        ]  # fmt: skip
    document["bufferViews"] += [{"buffer": 0, "byteOffset": len(binary), "byteLength": 48, "byteStride": 12}]
    closed(tmp_path / "y.glb", document, binary + rows.tobytes())
    found = read_splat_glb(tmp_path / "y.glb").gaussians
    np.testing.assert_allclose(1 / (1 + np.exp(-found.logit_opacities)), [0, 0.2, 1, 128 / 255], atol=1e-6)
    np.testing.assert_allclose(axes(found), axes(g), atol=1e-3)


def forged(path, change) -> None:
    """The file with its document changed."""
    write_splat_glb(path, make_gaussians(0, 5, 1))
    document, binary = opened(path)
    change(document)
    closed(path, document, binary)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["accessors"][0].update(count=10**12), "reaches to byte"),
        (lambda d: d["accessors"][0].update(count=-1), "whole numbers"),
        (lambda d: d["accessors"][0].update(byteOffset=-4), "whole numbers"),
        (lambda d: d["accessors"][0].update(count=2.5), "whole numbers"),
        (lambda d: d["accessors"][2].update(count=3), "expected the shape"),
        (lambda d: d["accessors"][0].update(componentType=9), "corrupt"),
        (lambda d: d["accessors"][0].update(type="VEC4"), "3 dense numbers"),
        (lambda d: d["nodes"][0].update(children=[0]), "circle"),
        (lambda d: d["nodes"][0].update(scale=[1, 2, 1]), "differently"),
        (lambda d: d["nodes"][0].update(scale=[0, 0, 0]), "to nothing"),
        (lambda d: d["nodes"][0].update(rotation=[0, 0, 0, 0]), "x.glb"),
        (lambda d: d["nodes"][0].update(matrix=[1, 2]), "x.glb"),
        (lambda d: d["meshes"][0]["primitives"][0].pop("extensions"), "a mesh or a point cloud"),
        (lambda d: d["meshes"][0]["primitives"][0]["attributes"].pop(f"{KHR}:OPACITY"), "OPACITY"),
        (
            lambda d: d["meshes"][0]["primitives"][0]["extensions"][KHR].update(extensions={"KHR_spz": {}}),
            "compressed",
        ),
        (lambda d: d.update(meshes=7), "corrupt"),
        (lambda d: d.update(scenes="x"), "corrupt"),
    ],
)
def test_documents_that_lie_are_refused(tmp_path, change, words):
    forged(tmp_path / "x.glb", change)
    with pytest.raises(ValueError, match=words) as caught:
        read_splat_glb(tmp_path / "x.glb")
    assert "x.glb" in str(caught.value)


def test_a_mesh_that_is_there_ten_thousand_times_is_refused(tmp_path):
    write_splat_glb(tmp_path / "x.glb", make_gaussians(0, 20_000, 0))
    document, binary = opened(tmp_path / "x.glb")
    document["nodes"] *= 9999
    document["scenes"][0]["nodes"] = list(range(9999))
    closed(tmp_path / "x.glb", document, binary)
    with pytest.raises(ValueError, match="a bomb"):
        read_splat_glb(tmp_path / "x.glb")


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=50)
def test_cut_and_scribbled_files_raise_nothing_but_value_error(tmp_path_factory, seed):
    path, rng = tmp_path_factory.mktemp("glb") / "x.glb", np.random.default_rng(seed)
    write_splat_glb(path, make_gaussians(0, 3, 0))
    whole = bytearray(path.read_bytes())
    if seed % 2:
        path.write_bytes(whole[: rng.integers(len(whole))])
        with pytest.raises(ValueError, match=r"x\.glb"):
            read_splat_glb(path)
        return
    for _ in range(3):
        whole[rng.integers(1200)] = rng.integers(256)
    path.write_bytes(whole)
    try:
        read_splat_glb(path)
    except ValueError as error:
        assert "x.glb" in str(error)
