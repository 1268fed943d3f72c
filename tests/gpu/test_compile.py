"""Every kernel compiles for every architecture; a cubin is used only with the source that it was made from."""

import pytest

from geo3d.gpu import compile as gpu_compile
from geo3d.gpu.compile import ARCHITECTURES, compile_cubin, find_cubin, prebuilt_path, source_hash
from geo3d.gpu.prebuild import kernel_sources

ELF = b"\x7fELF"


@pytest.mark.parametrize("source", kernel_sources(), ids=lambda path: path.stem)
@pytest.mark.parametrize("architecture", [ARCHITECTURES[0], ARCHITECTURES[-1]])
def test_every_kernel_compiles_for_the_oldest_and_the_newest_gpus(source, architecture):
    assert compile_cubin(source, architecture).startswith(ELF)


@pytest.mark.slow
@pytest.mark.parametrize("source", kernel_sources(), ids=lambda path: path.stem)
@pytest.mark.parametrize("architecture", ARCHITECTURES[1:-1])
def test_every_kernel_compiles_for_those_between(source, architecture):
    assert compile_cubin(source, architecture).startswith(ELF)


def test_there_are_kernels():
    assert {path.stem for path in kernel_sources()} >= {"project", "tiles", "blend", "blend_backward", "loss"}


@pytest.fixture
def source(tmp_path):
    (tmp_path / "deep.h").write_text("#define VALUE 1\n")
    (tmp_path / "near.h").write_text('  #include "deep.h"\n')
    path = tmp_path / "small.cu"
    path.write_text('#include "near.h"\nextern "C" __global__ void set(int* a) { *a = VALUE; }\n')
    return path


def test_the_hash_follows_headers_of_headers(source):
    before = source_hash(source)
    assert source_hash(source) == before
    (source.parent / "deep.h").write_text("#define VALUE 2\n")
    assert source_hash(source) != before


def test_what_the_compiler_says_is_told(source):
    source.write_text('extern "C" __global__ void set(int* a) { *a = missing; }\n')
    with pytest.raises(RuntimeError, match=r'small.cu for sm_90(.|\n)*"missing" is undefined'):
        compile_cubin(source, 90)


def test_a_kernel_is_compiled_once_and_again_when_it_changes(source, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    code = find_cubin(source, 90, cache)
    kept = list((cache / "cubins").iterdir())
    assert code.startswith(ELF) and len(kept) == 1 and kept[0].read_bytes() == code

    def refuse(*_):
        raise AssertionError("compiled again")

    with monkeypatch.context() as patched:
        patched.setattr(gpu_compile, "compile_cubin", refuse)
        assert find_cubin(source, 90, cache) == code
    (source.parent / "deep.h").write_text("#define VALUE 2\n")
    assert find_cubin(source, 90, cache) != code
    assert len(list((cache / "cubins").iterdir())) == 2


def test_a_failed_compilation_leaves_nothing(source, tmp_path):
    source.write_text("nonsense")
    with pytest.raises(RuntimeError):
        find_cubin(source, 90, tmp_path / "cache")
    assert not list(tmp_path.rglob("*.cubin")) and not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize(("gpu", "taken"), [(89, 86), (86, 86), (87, 86), (80, None), (90, None)])
def test_the_wheel_serves_later_gpus_of_the_same_generation(source, tmp_path, monkeypatch, gpu, taken):
    path = prebuilt_path(source, 86)
    path.parent.mkdir()
    path.write_bytes(b"sm_86")
    monkeypatch.setattr(gpu_compile, "compile_cubin", lambda *_: b"fresh")
    assert find_cubin(source, gpu, tmp_path / "cache") == (b"sm_86" if taken else b"fresh")
