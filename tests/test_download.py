"""Downloads from a local HTTP server that stalls, truncates, corrupts and refuses."""

from __future__ import annotations

import dataclasses
import gzip
import pickle
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from helpers import write_blob_source
from mirror import Answer, Mirror, head, serve

from netlet.data import (
    SOURCES,
    DownloadProgress,
    Source,
    cache_folder,
    download,
    fetch,
    load,
    source_files,
)
from netlet.errors import DataError, MissingDataError


def refuses(code: int) -> Answer:
    return lambda to, content: (head(to, 5, code), to.wfile.write(b"sorry"), None)[-1]


def truncates(to: BaseHTTPRequestHandler, content: bytes) -> None:
    head(to, len(content))
    to.wfile.write(content[: len(content) // 2])


def truncates_unannounced(to: BaseHTTPRequestHandler, content: bytes) -> None:
    head(to, None)
    to.wfile.write(content[: len(content) // 2])


def corrupts(to: BaseHTTPRequestHandler, content: bytes) -> None:
    bad = bytearray(content)
    bad[len(bad) // 2] ^= 0x10
    serve(to, bytes(bad))


def another_page(to: BaseHTTPRequestHandler, content: bytes) -> None:
    serve(to, b"<html>please log in to our network</html>")


def stalls(to: BaseHTTPRequestHandler, content: bytes) -> None:
    head(to, len(content))
    to.wfile.write(content[:100])
    to.wfile.flush()
    time.sleep(1.5)


def stalls_at_once(to: BaseHTTPRequestHandler, content: bytes) -> None:
    time.sleep(1.5)


def drips(to: BaseHTTPRequestHandler, content: bytes) -> None:
    """Send single bytes, often enough to avoid a time-out, for ten seconds."""
    head(to, len(content))
    for byte in content[:200]:
        to.wfile.write(bytes([byte]))
        to.wfile.flush()
        time.sleep(0.05)


def bombs(to: BaseHTTPRequestHandler, content: bytes) -> None:
    serve(to, gzip.compress(bytes(30_000_000)))


def floods(to: BaseHTTPRequestHandler, content: bytes) -> None:
    head(to, None)
    for _ in range(300):
        to.wfile.write(bytes(65_536))


def unpacks(to: BaseHTTPRequestHandler, content: bytes) -> None:
    serve(to, gzip.decompress(content))


def says_it_is_encoded(to: BaseHTTPRequestHandler, content: bytes) -> None:
    head(to, len(content), Content_Encoding="gzip")
    to.wfile.write(content)


@pytest.fixture(autouse=True)
def _short_timeouts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NETLET_OFFLINE")
    monkeypatch.delenv("NETLET_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name, value in (
        ("_PAUSE_S", 0.01),
        ("_READ_TIMEOUT_S", 0.5),
        ("_CONNECT_TIMEOUT_S", 1.0),
    ):
        monkeypatch.setattr(download, name, value)
    monkeypatch.setattr(
        source_files.platformdirs, "user_cache_dir", lambda *_, **__: str(tmp_path / "cache")
    )
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def mirrors(tmp_path: Path) -> Iterator[list[Mirror]]:
    folder = tmp_path / "served"
    folder.mkdir()
    write_blob_source(folder)
    made = [Mirror(folder), Mirror(folder)]
    yield made
    for mirror in made:
        mirror.close()


@pytest.fixture
def source(mirrors: list[Mirror], tmp_path: Path) -> Source:
    return dataclasses.replace(
        write_blob_source(tmp_path / "again"), mirrors=tuple(mirror.url for mirror in mirrors)
    )


FIRST = "train-images-idx3-ubyte.gz"


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_download_reports_progress_is_verified_and_not_repeated(
    mirrors: list[Mirror], source: Source, tmp_path: Path
) -> None:
    events: list[DownloadProgress] = []
    into = fetch(source, tmp_path / "into", events.append)
    assert files_in(into) == sorted(f"{file.name}.gz" for file in source.files)
    assert len(source_files.read_source(source, into).train) == 600
    assert {f.file for f in events} == {file.name for file in source.files}
    assert all(f.received <= (f.total or 0) for f in events)
    assert [f.received == f.total for f in events if f.file == source.files[0].name][-1]
    fetch(source, into)
    assert mirrors[0].asked == Counter({f"{file.name}.gz": 1 for file in source.files})
    assert not mirrors[1].asked


@pytest.mark.parametrize(
    "answer",
    [
        refuses(500),
        refuses(503),
        refuses(429),
        truncates,
        truncates_unannounced,
        corrupts,
        another_page,
        pytest.param(stalls, marks=pytest.mark.slow),  # wait for a time limit
        pytest.param(stalls_at_once, marks=pytest.mark.slow),
        pytest.param(drips, marks=pytest.mark.slow),
        bombs,
    ],
    ids=[
        "500",
        "503",
        "429",
        "truncates",
        "truncates unannounced",
        "corrupts",
        "another page",
        "stalls",
        "stalls at once",
        "drips",
        "bombs",
    ],
)
def test_a_temporary_failure_is_retried_before_the_next_mirror(
    mirrors: list[Mirror], source: Source, tmp_path: Path, answer: Answer
) -> None:
    mirrors[0].answers[FIRST] = [answer]
    began = time.monotonic()
    fetch(source, tmp_path / "once")
    assert time.monotonic() - began < 5  # the slow answer would take ten seconds
    assert (mirrors[0].asked[FIRST], mirrors[1].asked[FIRST]) == (2, 0)
    mirrors[0].answers[FIRST] = [answer] * 3
    errors: list[str] = []
    fetch(source, tmp_path / "thrice", lambda f: errors.append(f.error) if f.error else None)
    assert (mirrors[0].asked[FIRST], mirrors[1].asked[FIRST]) == (5, 1)
    assert len(errors) == 3
    for folder in ("once", "thrice"):
        assert files_in(tmp_path / folder) == sorted(f"{file.name}.gz" for file in source.files)
        assert len(source_files.read_source(source, tmp_path / folder).held_out) == 100


@pytest.mark.parametrize(
    "answer", [refuses(404), refuses(403), floods], ids=["404", "403", "floods"]
)
def test_a_permanent_failure_is_not_retried(
    mirrors: list[Mirror], source: Source, tmp_path: Path, answer: Answer
) -> None:
    mirrors[0].answers[FIRST] = [answer]
    fetch(source, tmp_path / "into")
    assert (mirrors[0].asked[FIRST], mirrors[1].asked[FIRST]) == (1, 1)


@pytest.mark.parametrize("answer", [unpacks, says_it_is_encoded])
def test_a_server_may_decompress_or_declare_an_encoding(
    mirrors: list[Mirror], source: Source, tmp_path: Path, answer: Answer
) -> None:
    mirrors[0].answers["*"] = [answer] * 4
    assert len(source_files.read_source(source, fetch(source, tmp_path / "into")).train) == 600
    assert mirrors[0].asked[FIRST] == 1


def test_an_unreachable_server_is_reported(
    mirrors: list[Mirror], source: Source, tmp_path: Path
) -> None:
    mirrors[0].close()
    fetch(source, tmp_path / "into")
    unresolvable = dataclasses.replace(
        source, mirrors=("http://nowhere.invalid/", "http://127.0.0.1:9/")
    )
    with pytest.raises(MissingDataError) as caught:
        fetch(unresolvable, tmp_path / "other")
    message = str(caught.value)
    assert "http://nowhere.invalid/: cannot resolve the host name; is there a network?" in message
    assert "http://127.0.0.1:9/: connection refused" in message
    assert "try again later, or put its four IDX files into" in message
    assert "\n" not in message
    assert not (tmp_path / "other").exists() or not files_in(tmp_path / "other")


def test_existing_files_stay_when_every_mirror_fails(
    mirrors: list[Mirror], source: Source, tmp_path: Path
) -> None:
    into = tmp_path / "into"
    fetch(source, into)
    good = (into / "t10k-labels-idx1-ubyte.gz").read_bytes()
    (into / FIRST).unlink()
    mirrors[0].answers[FIRST], mirrors[1].answers[FIRST] = [corrupts] * 3, [refuses(404)]
    with pytest.raises(MissingDataError, match=r"a wrong or damaged file, 3 times; .*HTTP 404"):
        fetch(source, into)
    assert FIRST not in files_in(into)
    assert (into / "t10k-labels-idx1-ubyte.gz").read_bytes() == good
    fetch(source, into)  # downloads only the missing file
    assert mirrors[0].asked["t10k-labels-idx1-ubyte.gz"] == 1
    assert len(source_files.read_source(source, into).train) == 600


def test_a_damaged_file_is_downloaded_again(
    mirrors: list[Mirror], source: Source, tmp_path: Path
) -> None:
    into = fetch(source, tmp_path / "into")
    (into / FIRST).write_bytes(b"rubbish")
    fetch(source, into)
    assert len(source_files.read_source(source, into).train) == 600
    assert mirrors[0].asked[FIRST] == 2


def test_a_file_is_verified_by_the_checksum_of_its_gz_if_that_is_all_there_is(
    mirrors: list[Mirror], source: Source, tmp_path: Path
) -> None:
    part = source.train
    packed = dataclasses.replace(
        source, train=dataclasses.replace(part, images=dataclasses.replace(part.images, md5=None))
    )
    mirrors[0].answers[FIRST] = [unpacks, unpacks, corrupts]
    into = fetch(packed, tmp_path / "into")
    assert mirrors[1].asked[FIRST] == 1
    assert len(source_files.read_source(packed, into).train) == 600
    (into / FIRST.removesuffix(".gz")).write_bytes(gzip.decompress((into / FIRST).read_bytes()))
    (into / FIRST).unlink()
    with pytest.raises(
        DataError, match=r"cannot be verified, since only the checksum of the \.gz is known"
    ):
        source_files.read_source(packed, into)


@pytest.mark.slow
def test_two_processes_can_download_at_the_same_time(
    mirrors: list[Mirror], source: Source, tmp_path: Path
) -> None:
    (tmp_path / "source").write_bytes(pickle.dumps(source))
    code = (
        "import pickle\nfrom pathlib import Path\nfrom netlet.data import fetch\n"
        "from netlet.data.source_files import read_source\n"
        "source = pickle.loads(Path('source').read_bytes())\n"
        "for i in range(20):\n    into = fetch(source, Path('shared') / str(i))\n"
        "    assert len(read_source(source, into).train) == 600\n"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path) for _ in range(2)]
    assert [process.wait(timeout=100) for process in processes] == [0, 0]
    for i in range(20):
        assert files_in(tmp_path / "shared" / str(i)) == sorted(
            f"{file.name}.gz" for file in source.files
        )


def test_load_downloads_into_the_cache_once(
    mirrors: list[Mirror], source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES, "mnist", source)
    with pytest.raises(MissingDataError, match="'netlet data get mnist' downloads it"):
        load("mnist", download=False)
    assert len(load("mnist").train) == 600
    mirrors[0].close()
    assert len(load("mnist").train) == 600
    assert files_in(cache_folder()) == ["mnist"]
    (cache_folder() / "mnist" / FIRST).unlink()  # as after an interrupted download
    assert len(load("mnist").train) == 600
    assert mirrors[1].asked == {FIRST: 1}


def test_netlet_offline_forbids_downloads(
    mirrors: list[Mirror], source: Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NETLET_OFFLINE", "1")
    with pytest.raises(
        MissingDataError,
        match="NETLET_OFFLINE forbids downloads; unset it, or put its four IDX files",
    ):
        fetch(source, tmp_path / "into")
    assert not mirrors[0].asked


def test_an_unwritable_folder_is_reported(
    mirrors: list[Mirror], source: Source, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        MissingDataError,
        match=r"mnist cannot be saved in .*; download it elsewhere with 'netlet data",
    ):
        fetch(source, tmp_path / "file" / "into")


def test_a_downloaded_gz_takes_precedence_over_a_plain_file(
    mirrors: list[Mirror], source: Source, tmp_path: Path
) -> None:
    into = fetch(source, tmp_path / "into")
    plain = into / FIRST.removesuffix(".gz")
    plain.write_bytes(b"rubbish")
    assert len(source_files.read_source(source, into).train) == 600
    plain.write_bytes(gzip.decompress((into / FIRST).read_bytes()))
    (into / FIRST).unlink()
    assert len(source_files.read_source(source, into).train) == 600
    plain.write_bytes(b"rubbish")
    fetch(source, into)
    assert len(source_files.read_source(source, into).train) == 600


def test_the_table_of_sources_is_consistent() -> None:
    for source in SOURCES.values():
        assert source.mirrors
        assert all(mirror.startswith("http") and mirror.endswith("/") for mirror in source.mirrors)
        assert len({file.name for file in source.files}) == 4
        for part in (source.train, source.test):
            assert part.images.bytes == 16 + part.count * 28 * 28
            assert part.labels.bytes == (
                8 + part.count if "idx1" in part.labels.name else 12 + 4 * 8 * part.count
            )
        for file in source.files:
            assert all(len(md5) == 32 for md5 in (file.md5, file.gz_md5) if md5 is not None)
    checksums = [file.gz_md5 for source in SOURCES.values() for file in source.files]
    assert len(set(checksums)) == len(checksums)


def test_qmnist_uses_the_class_and_skips_mnists_own_test_images(tmp_path: Path) -> None:
    import numpy as np
    from helpers import draw_blobs, md5_of

    from netlet.data import write_idx
    from netlet.data.sources import File, Part

    qmnist = SOURCES["qmnist"]
    parts = []
    for part, n in ((qmnist.train, 60), (qmnist.test, 50)):
        images, labels = draw_blobs(n, 0)
        table = np.zeros((n, 8), np.int32)
        table[:, 0], table[:, 1:] = labels, 4_000
        for file, values in ((part.images, images), (part.labels, table)):
            write_idx(tmp_path / f"{file.name}.gz", values)
        files = [
            File(file.name, 1 << 20, None, md5_of((tmp_path / f"{file.name}.gz").read_bytes()))
            for file in (part.images, part.labels)
        ]
        parts.append(Part(part.name, *files, n, first=part.first // 1_000))
    small = source_files.read_source(
        dataclasses.replace(qmnist, train=parts[0], test=parts[1]), tmp_path
    )
    assert small.held_out.name == "test50k"
    assert (len(small.train), len(small.held_out)) == (60, 40)
    assert small.held_out.labels.tolist() == [i % 10 for i in range(10, 50)]


def test_files_of_another_data_set_with_the_same_names_are_not_used(
    source: Source, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """MNIST's folder is not taken for Fashion-MNIST's, although the files have the same names."""
    monkeypatch.setitem(SOURCES, "mnist", source)
    with pytest.raises(MissingDataError, match="fashion_mnist not found in"):
        source_files.find_source(SOURCES["fashion_mnist"], tmp_path / "again")
    assert source_files.find_source(source, tmp_path / "again") == tmp_path / "again"
