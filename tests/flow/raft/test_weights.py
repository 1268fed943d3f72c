"""Checkpoints by the authors' names and shapes, and what their parameters do.

The tables of names and shapes are written out here from the authors' published networks, and `plain_flow` is the
network again, written as formulas on such a table: neither asks geo3d's modules for anything.
"""

import math
import pickle
import zipfile

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from geo3d.flow.raft.architecture import FULL, REDUCED, SMALL, architecture_of
from geo3d.flow.raft.model import Raft
from geo3d.flow.raft.weights import load_raft, raft_of


def convolution(name, out, inputs, height, width=None):
    return {f"{name}.weight": (out, inputs, height, width or height), f"{name}.bias": (out,)}


def batch_norm(name, channels):
    own = {f"{name}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    return {**own, f"{name}.num_batches_tracked": ()}


def full_encoder(name, outputs, with_norm):
    table = convolution(f"{name}.conv1", 64, 3, 7) | convolution(f"{name}.conv2", outputs, 128, 1)
    norms = {"norm1": 64}
    for layer, block, inputs, channels in (
        (1, 0, 64, 64),
        (1, 1, 64, 64),
        (2, 0, 64, 96),
        (2, 1, 96, 96),
        (3, 0, 96, 128),
        (3, 1, 128, 128),
    ):
        at = f"layer{layer}.{block}"
        table |= convolution(f"{name}.{at}.conv1", channels, inputs, 3)
        table |= convolution(f"{name}.{at}.conv2", channels, channels, 3)
        norms |= {f"{at}.norm1": channels, f"{at}.norm2": channels}
        if layer > 1 and block == 0:
            table |= convolution(f"{name}.{at}.downsample.0", channels, inputs, 1)
            norms |= {f"{at}.norm3": channels, f"{at}.downsample.1": channels}
    if with_norm:
        for norm, channels in norms.items():
            table |= batch_norm(f"{name}.{norm}", channels)
    return table


def small_encoder(name, outputs):
    table = convolution(f"{name}.conv1", 32, 3, 7) | convolution(f"{name}.conv2", outputs, 96, 1)
    for layer, block, inputs, channels in (
        (1, 0, 32, 32),
        (1, 1, 32, 32),
        (2, 0, 32, 64),
        (2, 1, 64, 64),
        (3, 0, 64, 96),
        (3, 1, 96, 96),
    ):
        at = f"{name}.layer{layer}.{block}"
        table |= convolution(f"{at}.conv1", channels // 4, inputs, 1)
        table |= convolution(f"{at}.conv2", channels // 4, channels // 4, 3)
        table |= convolution(f"{at}.conv3", channels, channels // 4, 1)
        if layer > 1 and block == 0:
            table |= convolution(f"{at}.downsample.0", channels, inputs, 1)
    return table


def full_table():
    update = "update_block"
    return (
        full_encoder("fnet", 256, with_norm=False)
        | full_encoder("cnet", 256, with_norm=True)
        | convolution(f"{update}.encoder.convc1", 256, 324, 1)
        | convolution(f"{update}.encoder.convc2", 192, 256, 3)
        | convolution(f"{update}.encoder.convf1", 128, 2, 7)
        | convolution(f"{update}.encoder.convf2", 64, 128, 3)
        | convolution(f"{update}.encoder.conv", 126, 256, 3)
        | convolution(f"{update}.gru.convz1", 128, 384, 1, 5)
        | convolution(f"{update}.gru.convr1", 128, 384, 1, 5)
        | convolution(f"{update}.gru.convq1", 128, 384, 1, 5)
        | convolution(f"{update}.gru.convz2", 128, 384, 5, 1)
        | convolution(f"{update}.gru.convr2", 128, 384, 5, 1)
        | convolution(f"{update}.gru.convq2", 128, 384, 5, 1)
        | convolution(f"{update}.flow_head.conv1", 256, 128, 3)
        | convolution(f"{update}.flow_head.conv2", 2, 256, 3)
        | convolution(f"{update}.mask.0", 256, 128, 3)
        | convolution(f"{update}.mask.2", 576, 256, 1)
    )


def small_table():
    update = "update_block"
    return (
        small_encoder("fnet", 128)
        | small_encoder("cnet", 160)
        | convolution(f"{update}.encoder.convc1", 96, 196, 1)
        | convolution(f"{update}.encoder.convf1", 64, 2, 7)
        | convolution(f"{update}.encoder.convf2", 32, 64, 3)
        | convolution(f"{update}.encoder.conv", 80, 128, 3)
        | convolution(f"{update}.gru.convz", 96, 242, 3)
        | convolution(f"{update}.gru.convr", 96, 242, 3)
        | convolution(f"{update}.gru.convq", 96, 242, 3)
        | convolution(f"{update}.flow_head.conv1", 128, 96, 3)
        | convolution(f"{update}.flow_head.conv2", 2, 128, 3)
    )


TABLES = {"full": (full_table, FULL), "small": (small_table, SMALL)}


def checkpoint(table, prefix="module."):
    """Random weights of these names and shapes; the two names of a shortcut's norm are one module."""
    generator = torch.Generator().manual_seed(3)
    state = {}
    for name, shape in table.items():
        if name.endswith("num_batches_tracked"):
            value = torch.tensor(7)
        elif len(shape) == 4:
            value = torch.randn(shape, generator=generator) * math.sqrt(2.0 / math.prod(shape[1:]))
        else:
            value = 0.1 * torch.randn(shape, generator=generator)
            if name.endswith(("running_var", "norm1.weight", "norm2.weight", "norm3.weight")):
                value = 1.0 + value
        state[name] = value
    for name in [n for n in state if ".downsample.1." in n]:
        state[name] = state[name.replace("downsample.1", "norm3")]
    return {prefix + name: value for name, value in state.items()}


def plain_flow(state, image0, image1, iterations, small):
    """The network as formulas, for one pair."""

    def conv(name, x, stride=1):
        weight = state[f"{name}.weight"]
        padding = weight.shape[2] // 2, weight.shape[3] // 2
        return F.conv2d(x, weight, state[f"{name}.bias"], stride, padding)

    def norm(name, x):
        if name.startswith("fnet"):
            mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), correction=0, keepdim=True)
            return (x - mean) / torch.sqrt(variance + 1e-5)
        if small:
            return x
        mean, variance, weight, bias = (
            state[f"{name}.{part}"].reshape(1, -1, 1, 1)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias

    def block(name, x, stride):
        y = x
        for k in (1, 2, 3) if small else (1, 2):
            y = torch.relu(
                norm(f"{name}.norm{k}", conv(f"{name}.conv{k}", y, stride if k == 1 + small else 1))
            )
        if stride > 1:
            x = norm(f"{name}.downsample.1", conv(f"{name}.downsample.0", x, stride))
        return torch.relu(x + y)

    def encode(name, x):
        x = torch.relu(norm(f"{name}.norm1", conv(f"{name}.conv1", 2.0 * x - 1.0, 2)))
        for layer, stride in ((1, 1), (2, 2), (3, 2)):
            x = block(f"{name}.layer{layer}.1", block(f"{name}.layer{layer}.0", x, stride), 1)
        return conv(f"{name}.conv2", x)

    def gated(h, x, suffix):
        z, r = (torch.sigmoid(conv(f"update_block.gru.conv{g}{suffix}", torch.cat([h, x], 1))) for g in "zr")
        q = torch.tanh(conv(f"update_block.gru.convq{suffix}", torch.cat([r * h, x], 1)))
        return (1 - z) * h + z * q

    f0, f1 = encode("fnet", image0)[0], encode("fnet", image1)[0]
    channels, height, width = f0.shape
    radius, hidden = (3, 96) if small else (4, 128)
    volume = torch.einsum("cyx,cvu->yxvu", f0, f1) / math.sqrt(channels)
    features = encode("cnet", image0)
    h, context = torch.tanh(features[:, :hidden]), torch.relu(features[:, hidden:])
    y, x = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    flow = torch.zeros(1, 2, height, width)
    for _ in range(iterations):
        values, level = [], volume
        for k in range(4):
            for dx in range(-radius, radius + 1):
                for dy in range(-radius, radius + 1):
                    values.append(bilinear(level, (x + flow[0, 0]) / 2**k + dx, (y + flow[0, 1]) / 2**k + dy))
            level = F.avg_pool2d(level, 2) if k < 3 else level
        matched = torch.relu(conv("update_block.encoder.convc1", torch.stack(values)[None]))
        if not small:
            matched = torch.relu(conv("update_block.encoder.convc2", matched))
        moved = torch.relu(conv("update_block.encoder.convf1", flow))
        moved = torch.relu(conv("update_block.encoder.convf2", moved))
        motion = torch.relu(conv("update_block.encoder.conv", torch.cat([matched, moved], 1)))
        inputs = torch.cat([context, motion, flow], 1)
        for suffix in ("",) if small else ("1", "2"):
            h = gated(h, inputs, suffix)
        change = torch.relu(conv("update_block.flow_head.conv1", h))
        flow = flow + conv("update_block.flow_head.conv2", change)
    if small:
        return 8 * F.interpolate(flow, scale_factor=8, mode="bilinear", align_corners=True)[0]
    logits = conv("update_block.mask.2", torch.relu(conv("update_block.mask.0", h)))[0] / 4
    weights = torch.softmax(logits.reshape(9, 8, 8, height, width), 0)
    padded = F.pad(8 * flow[0], (1, 1, 1, 1))
    fine = torch.zeros(2, height, 8, width, 8)
    for k in range(9):
        shifted = padded[:, k // 3 : k // 3 + height, k % 3 : k % 3 + width]
        fine += weights[k].permute(2, 0, 3, 1) * shifted[:, :, None, :, None]
    return fine.reshape(2, 8 * height, 8 * width)


def bilinear(level, x, y):
    """Value of each cell's own map (H, W, h, w) at its place (H, W), zero outside."""
    height, width = level.shape[2:]
    rows, columns = torch.meshgrid(*(torch.arange(n) for n in level.shape[:2]), indexing="ij")
    total = torch.zeros(level.shape[:2])
    for i in (0, 1):
        for j in (0, 1):
            u, v = torch.floor(x) + i, torch.floor(y) + j
            weight = (1 - (x - u).abs()) * (1 - (y - v).abs())
            inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
            at = v.clamp(0, height - 1).long(), u.clamp(0, width - 1).long()
            total += torch.where(inside, weight * level[rows, columns, at[0], at[1]], 0.0)
    return total


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("prefix", ["module.", ""])
@pytest.mark.parametrize("zipped", [True, False])
def test_the_authors_names_and_shapes_load(tmp_path, kind, prefix, zipped):
    table, architecture = TABLES[kind]
    state = checkpoint(table(), prefix)
    torch.save(state, tmp_path / "raft.pth", _use_new_zipfile_serialization=zipped)
    network = load_raft(tmp_path / "raft.pth")
    assert network.architecture == architecture
    assert not network.training
    assert not {
        name
        for name in network.state_dict()
        if not torch.equal(network.state_dict()[name], state[prefix + name])
    }


@pytest.mark.parametrize(("kind", "millions"), [("full", 5.257536), ("small", 0.990162)])
def test_count_of_parameters_is_the_papers(kind, millions):
    network = Raft(TABLES[kind][1])
    assert sum(parameter.numel() for parameter in network.parameters()) == round(1e6 * millions)


@pytest.mark.parametrize("kind", TABLES)
def test_each_parameter_does_what_the_paper_says(kind):
    state = checkpoint(TABLES[kind][0](), "")
    state["update_block.flow_head.conv2.weight"] *= 3.0  # flows that leave the image
    image0, image1 = torch.rand(2, 1, 3, 64, 80, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = plain_flow(state, image0, image1, 3, small=kind == "small")
        found = raft_of(state, "test")(image0, image1, 3)[-1][0]
    assert expected.abs().max() > 10.0
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("architecture", [FULL, SMALL, REDUCED])
def test_the_architecture_is_read_off_the_shapes(architecture):
    state = Raft(architecture).state_dict()
    assert architecture_of({name: tuple(value.shape) for name, value in state.items()}) == architecture


CHANGES = {
    "gru.convz1.weight has shape": {"update_block.gru.convz1.weight": torch.zeros(128, 384, 5, 1)},
    r"\(127,\), expected \(128,\)": {"cnet.layer3.1.conv2.bias": torch.zeros(127)},
    "fnet.conv1.weight .* not finite": {"fnet.conv1.weight": torch.full((64, 3, 7, 7), math.nan)},
    "324 for the full": {"update_block.encoder.convc1.weight": torch.zeros(256, 300, 1, 1)},
    "no part of RAFT.*head.weight": {"head.weight": torch.zeros(1)},
    "claims": {"fnet.conv2.weight": torch.zeros(()).expand(10**12, 128, 1, 1)},
    "a int": {"fnet.conv2.weight": 3},
    "parameters are missing.*mask.2.bias": {"update_block.mask.2.bias": None},
    "flow_head.conv1.weight is missing": {"update_block.flow_head.conv1.weight": None},
}


@pytest.mark.parametrize("message", CHANGES)
def test_what_does_not_fit_is_told(tmp_path, message):
    state = checkpoint(full_table())
    for name, value in CHANGES[message].items():
        state[f"module.{name}"] = value
    path = tmp_path / "wrong.pth"
    torch.save({name: value for name, value in state.items() if value is not None}, path)
    with pytest.raises(ValueError, match=message) as told:
        load_raft(path)
    assert str(path) in str(told.value)


@pytest.mark.parametrize("content", [[1, 2], {"model": 5}, {"epoch": 3}, {}])
def test_what_is_no_table_is_told(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"expected a dict|expected a tensor|not the weights of a RAFT"):
        load_raft(tmp_path / "other.pth")


class Code:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_file_runs_no_code(tmp_path):
    torch.save({"module.fnet.conv1.weight": Code(tmp_path / "ran")}, tmp_path / "code.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Code(tmp_path / "ran")))
    for name in ("code.pth", "plain.pth"):
        with pytest.raises(ValueError, match="without running code"):
            load_raft(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_damaged_files_are_told(tmp_path):
    path = tmp_path / "raft.pth"
    torch.save(checkpoint(small_table()), path)
    content = path.read_bytes()
    for damaged in (b"", b"not weights", content[:5000], content[: len(content) // 2], content[1000:]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="damaged"):
            load_raft(path)
    with pytest.raises(FileNotFoundError):
        load_raft(tmp_path / "missing.pth")


def test_a_file_that_expands_is_refused(tmp_path):
    torch.save({"weights": torch.zeros(4_000_000)}, tmp_path / "large.pth")
    with (
        zipfile.ZipFile(tmp_path / "large.pth") as large,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for member in large.infolist():
            packed.writestr(member.filename, large.read(member))
    with pytest.raises(ValueError, match="are said to have"):
        load_raft(tmp_path / "packed.pth")


def test_single_precision_comes_of_double(tmp_path):
    state = {name: value.double() for name, value in checkpoint(small_table()).items()}
    torch.save(state, tmp_path / "double.pth")
    assert next(load_raft(tmp_path / "double.pth").parameters()).dtype == torch.float32
    assert np.isfinite(
        [float(p.detach().sum()) for p in load_raft(tmp_path / "double.pth").parameters()]
    ).all()
