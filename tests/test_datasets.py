"""Data sets: fetched from a server on this machine that answers well, badly, not at all or with malice."""

import hashlib
import io
import json
import random
import re
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from geo3d import datasets

PHOTO = random.Random(1).randbytes(500_000)


class Server:
    """Files by path; `cut` is how many bytes of a file are sent before the connection ends, once each."""

    def __init__(self):
        self.files: dict[str, bytes] = {}
        self.cut: dict[str, list[int]] = {}
        self.requests: list[tuple[str, str | None]] = []
        self.version = '"v1"'
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                owner.answer(self)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, request):
        name, wanted = request.path[1:], request.headers.get("Range")
        self.requests.append((name, wanted))
        body = self.files.get(name)
        if body is None:
            request.send_error(404)
            return
        start = 0
        if wanted and request.headers.get("If-Range") == self.version:
            start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(body) - start))
        request.send_header("ETag", self.version)
        request.end_headers()
        cut = self.cut.get(name)
        request.wfile.write(body[start : cut.pop(0) if cut else None])


@pytest.fixture
def server():
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def publish(tmp_path, monkeypatch, server):
    """Writes a manifest "field" of files on the server: `publish({"a.jpg": dict(...)})`."""
    manifests = tmp_path / "manifests"
    manifests.mkdir()
    monkeypatch.setattr(datasets, "_manifest_folder", lambda: manifests)

    def write(**files):
        texts = dict.fromkeys(("title", "description", "homepage", "licence", "citation"), "-")
        entries = [
            {
                "path": key.replace("__", "/"),
                "urls": [server.url + key],
                "size": None,
                "sha256": None,
                **entry,
            }
            for key, entry in files.items()
        ]
        (manifests / "field.json").write_text(json.dumps({**texts, "files": entries}))
        return tmp_path / "data"

    return write


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def make_zip(members, links=()):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        for name, goal in links:
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, goal)
    return buffer.getvalue()


def make_tar(members, links=(), mode="w:gz"):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for name, goal in links:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, goal
            archive.addfile(info)
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def listing(folder: Path):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_fetch_checks_and_keeps(server, publish):
    server.files = {"photo.jpg": PHOTO, "images__b.jpg": b"second"}
    entry = {"size": len(PHOTO), "sha256": sha256(PHOTO)}
    folder = publish(**{"photo.jpg": entry, "images__b.jpg": {"size": 6, "sha256": sha256(b"second")}})
    path = datasets.fetch("field", folder, progress=False)
    assert path == folder / "field"
    assert listing(path) == ["images/b.jpg", "photo.jpg"]
    assert (path / "photo.jpg").read_bytes() == PHOTO
    count = len(server.requests)
    assert datasets.fetch("field", folder, progress=False) == path
    assert len(server.requests) == count == 2
    assert listing(folder) == ["field.sha256", "field/images/b.jpg", "field/photo.jpg"]


def test_progress_is_shown_on_stderr_or_not_at_all(server, publish, tmp_path, capfd):
    server.files = {"photo.jpg": PHOTO}
    publish(**{"photo.jpg": {"sha256": sha256(PHOTO)}})
    datasets.fetch("field", tmp_path / "quiet", progress=False)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    datasets.fetch("field", tmp_path / "shown")
    assert "fetch field" in capfd.readouterr().err


def test_unknown_name_lists_the_names(publish):
    publish()
    with pytest.raises(ValueError, match="no data set 'meadow'; there are field"):
        datasets.fetch("meadow")


def test_wrong_checksum(server, publish):
    server.files = {"photo.jpg": b"x" + PHOTO[1:]}
    folder = publish(**{"photo.jpg": {"size": len(PHOTO), "sha256": sha256(PHOTO)}})
    with pytest.raises(
        ValueError, match=f"photo.jpg is not the file that was promised(?s:.*){sha256(PHOTO)}"
    ):
        datasets.fetch("field", folder, progress=False)
    assert listing(folder) == []
    server.files["photo.jpg"] = PHOTO
    assert (datasets.fetch("field", folder, progress=False) / "photo.jpg").read_bytes() == PHOTO


@pytest.mark.parametrize("size", [100, len(PHOTO) + 100])
def test_wrong_size(server, publish, size):
    server.files = {"photo.jpg": PHOTO}
    folder = publish(**{"photo.jpg": {"size": size}})
    with pytest.raises(ValueError, match=f"expected {size} bytes, the server sends {len(PHOTO)}"):
        datasets.fetch("field", folder, progress=False)
    assert not (folder / "field").exists()


def test_unknown_checksum_is_recorded_shown_and_kept_to(server, publish, capfd):
    server.files = {"photo.jpg": PHOTO}
    folder = publish(**{"photo.jpg": {}})
    path = datasets.fetch("field", folder)
    assert f"recorded sha256 {sha256(PHOTO)}" in capfd.readouterr().err
    assert (folder / "field.sha256").read_text() == f"{sha256(PHOTO)}  photo.jpg\n"
    (path / "photo.jpg").unlink()
    path.rmdir()
    server.files["photo.jpg"] = PHOTO[::-1]
    with pytest.raises(ValueError, match=sha256(PHOTO)):
        datasets.fetch("field", folder, progress=False)
    server.files["photo.jpg"] = PHOTO
    datasets.fetch("field", folder, progress=False)


def test_a_manifest_that_has_changed_is_fetched_again(server, publish):
    server.files = {"photo.jpg": PHOTO}
    folder = publish(**{"photo.jpg": {}})
    datasets.fetch("field", folder, progress=False)
    server.files = {"photo.jpg": b"newer"}
    publish(**{"photo.jpg": {"sha256": sha256(b"newer")}})
    assert (datasets.fetch("field", folder, progress=False) / "photo.jpg").read_bytes() == b"newer"


def test_a_folder_of_someone_else_is_left_alone(server, publish):
    server.files = {"photo.jpg": PHOTO}
    folder = publish(**{"photo.jpg": {}})
    (folder / "field").mkdir(parents=True)
    (folder / "field" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="not made by fetch"):
        datasets.fetch("field", folder, progress=False)
    assert listing(folder) == ["field/mine.txt"]


def test_a_cut_connection_goes_on_where_it_stopped(server, publish):
    server.files = {"photo.jpg": PHOTO}
    server.cut = {"photo.jpg": [200_000, 400_000]}
    folder = publish(**{"photo.jpg": {"sha256": sha256(PHOTO)}})
    path = datasets.fetch("field", folder, progress=False)
    assert (path / "photo.jpg").read_bytes() == PHOTO
    ranges = [wanted for _, wanted in server.requests]
    assert len(ranges) == 3 and ranges[0] is None
    assert all(int(wanted[6:-1]) >= 100_000 for wanted in ranges[1:])


def test_a_connection_cut_for_good_says_so_and_the_next_call_goes_on(server, publish):
    server.files = {"photo.jpg": PHOTO}
    server.cut = {"photo.jpg": [150_000, 200_000, 300_000]}
    folder = publish(**{"photo.jpg": {"sha256": sha256(PHOTO)}})
    with pytest.raises(
        ConnectionError, match=r"photo.jpg could not be downloaded(?s:.*)what has arrived is kept"
    ):
        datasets.fetch("field", folder, progress=False)
    assert not (folder / "field").exists()
    assert (datasets.fetch("field", folder, progress=False) / "photo.jpg").read_bytes() == PHOTO
    assert int(server.requests[-1][1][6:-1]) > 200_000


def test_a_file_that_changed_meanwhile_is_begun_again(server, publish):
    server.files = {"photo.jpg": PHOTO}
    server.cut = {"photo.jpg": [150_000] * 3}
    folder = publish(**{"photo.jpg": {}})
    with pytest.raises(ConnectionError):
        datasets.fetch("field", folder, progress=False)
    server.files, server.version = {"photo.jpg": PHOTO[::-1]}, '"v2"'
    assert (datasets.fetch("field", folder, progress=False) / "photo.jpg").read_bytes() == PHOTO[::-1]


def test_not_found_and_the_second_address(server, publish):
    folder = publish(**{"photo.jpg": {}})
    with pytest.raises(ConnectionError, match="404"):
        datasets.fetch("field", folder, progress=False)
    server.files = {"mirror.jpg": PHOTO}
    publish(**{"photo.jpg": {"urls": [server.url + "photo.jpg", server.url + "mirror.jpg"]}})
    assert (datasets.fetch("field", folder, progress=False) / "photo.jpg").read_bytes() == PHOTO


def test_no_network(server, publish):
    server.http.shutdown()
    server.http.server_close()
    folder = publish(**{"photo.jpg": {}})
    with pytest.raises(ConnectionError, match=r"Check the network(?s:.*)by hand"):
        datasets.fetch("field", folder, progress=False)


def test_a_file_put_there_by_hand_is_taken(publish):
    folder = publish(**{"photo.jpg": {"sha256": sha256(PHOTO), "urls": ["http://127.0.0.1:9/photo.jpg"]}})
    (folder / ".field.part").mkdir(parents=True)
    (folder / ".field.part" / "photo.jpg").write_bytes(PHOTO)
    assert (datasets.fetch("field", folder, progress=False) / "photo.jpg").read_bytes() == PHOTO


@pytest.mark.parametrize(
    "pack", [make_zip, make_tar, lambda m: make_tar(m, mode="w:xz"), lambda m: make_tar(m, mode="w")]
)
def test_archives_are_unpacked(server, publish, pack):
    server.files = {
        "all.bin": pack({"top/a.jpg": PHOTO, "top/deep/er/ü b.txt": b"text"}),
        "notes.txt": b"note",
    }
    folder = publish(**{"all.bin": {"extract": True}, "notes.txt": {}})
    path = datasets.fetch("field", folder, progress=False)
    assert listing(path) == ["notes.txt", "top/a.jpg", "top/deep/er/ü b.txt"]
    assert (path / "top" / "a.jpg").read_bytes() == PHOTO


@pytest.mark.parametrize(
    "archive, message",
    [
        (make_zip({"../evil.txt": b"x"}), "outside of its folder"),
        (make_zip({"/tmp/geo3d-evil.txt": b"x"}), "outside of its folder"),
        (make_zip({"a/../../evil.txt": b"x"}), "outside of its folder"),
        (make_zip({}, links=[("link", "/etc")]), "holds the link"),
        (make_tar({"../evil.txt": b"x"}), "outside of its folder"),
        (make_tar({"/tmp/geo3d-evil.txt": b"x"}), "outside of its folder"),
        (make_tar({"link/evil.txt": b"x"}, links=[("link", "../..")]), "a link or a device"),
        (make_zip({"a.txt": b"x" * 2_000_000}), "more than it may"),
        (make_tar({"a.txt": b"x" * 2_000_000}), "more than it may"),
        (make_zip({"a.txt": PHOTO})[:-30], "damaged"),
        (make_tar({"a.txt": PHOTO})[:-300], "damaged"),
        (b"neither zip nor tar", "damaged"),
    ],
)
def test_malicious_and_damaged_archives(server, publish, tmp_path, archive, message):
    server.files = {"all.bin": archive}
    folder = publish(**{"all.bin": {"extract": True}})
    before = listing(tmp_path)
    with pytest.raises(ValueError, match=message):
        datasets.fetch("field", folder, progress=False)
    left = [name for name in listing(tmp_path) if name not in before]
    assert left == []  # nor the archive itself, which the next call would meet again
    assert not Path("/tmp/geo3d-evil.txt").exists()


def test_declared_unpacked_size_holds(server, publish):
    server.files = {"all.zip": make_zip({"a.txt": PHOTO})}
    folder = publish(**{"all.zip": {"extract": True, "unpacked_size": len(PHOTO) - 1}})
    with pytest.raises(ValueError, match="more than it may"):
        datasets.fetch("field", folder, progress=False)
    publish(**{"all.zip": {"extract": True, "unpacked_size": len(PHOTO)}})
    assert listing(datasets.fetch("field", folder, progress=False)) == ["a.txt"]


def test_a_manifest_cannot_write_outside_either(server, publish):
    server.files = {"..__evil.txt": b"x"}
    folder = publish(**{"..__evil.txt": {}})
    with pytest.raises(ValueError, match="outside of its folder"):
        datasets.fetch("field", folder, progress=False)


@pytest.mark.parametrize("name", datasets.names())
def test_manifests_are_whole(name):
    dataset = datasets.load(name)
    assert re.fullmatch(r"[a-z0-9-]+", name)
    assert all([dataset.title, dataset.description, dataset.licence, dataset.citation])
    assert dataset.homepage.startswith("https://")
    assert dataset.files
    assert len({file.path for file in dataset.files}) == len(dataset.files)
    for file in dataset.files:
        assert file.urls and all(url.startswith("https://") for url in file.urls)
        assert file.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert (file.size is None or file.size > 0) and (file.sha256 is None) == (file.size is None)
    text = datasets.describe(name)
    assert name in text and dataset.licence in text


def test_manifests_are_found_in_a_wheel(tmp_path):
    """In a wheel they lie inside the package; here a copy of it beside no checkout."""
    source = Path(datasets.__file__)
    package = tmp_path / "geo3d"
    (package / "util").mkdir(parents=True)
    for file in [source, source.with_name("__init__.py"), *source.parent.glob("util/*.py")]:
        (package / file.relative_to(source.parent)).write_bytes(file.read_bytes())
    (package / "_datasets").mkdir()
    (package / "_datasets" / "only.json").write_text("{}")
    code = "import geo3d.datasets as d; print(d.__file__, d.names())"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == f"{package / 'datasets.py'} ['only']"
