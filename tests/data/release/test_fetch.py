"""Fetching from a faulty HTTP server and from folders: the correct file or none."""

import email.utils
import hashlib
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from cartpole_phys import load_dataset, make_env_and_dataset
from cartpole_phys.data import fetch as fetching
from cartpole_phys.data.fetch import MIRRORS, Registry, Released, fetch
from cartpole_phys.utils import download as downloading
from cartpole_phys.utils.download import OTHER_HASH
from cartpole_phys.utils.errors import InputError
from cartpole_phys.utils.progress import Silent

NAME = "physcartpole-random-v0"


class Handler(BaseHTTPRequestHandler):
    """Serve one file, correctly or with the fault named by the first part of the path."""

    content = b""
    asked: ClassVar[list[str]] = []
    ended = threading.Event()

    def do_GET(self) -> None:
        """Respond in the way named by the path."""
        kind = self.path.split("/")[1]
        self.asked.append(kind)
        getattr(self, kind)()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def _send(self, content: bytes, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def good(self) -> None:
        self._send(self.content)

    def truncates(self) -> None:
        self._send(self.content[:1_000], len(self.content))

    def shorter(self) -> None:
        self._send(self.content[:1_000])

    def corrupts(self) -> None:
        self._send(self.content[:500] + bytes([self.content[500] ^ 1]) + self.content[501:])

    def stalls(self) -> None:
        self._send(self.content[:1_000], len(self.content))
        self.wfile.flush()
        self.ended.wait(30)

    def redirects(self) -> None:
        self.send_response(302)
        self.send_header("Location", f"/good/{NAME}.hdf5")
        self.end_headers()

    def circles(self) -> None:
        self.send_response(302)
        self.send_header("Location", self.path)
        self.end_headers()

    def fails(self) -> None:
        self.send_error(500)

    def misses(self) -> None:
        self.send_error(404)

    def endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        try:
            while not self.ended.is_set():
                self.wfile.write(b"\x00" * downloading.CHUNK)
        except OSError:
            pass

    def drips(self) -> None:
        """Send the body slowly, byte by byte, without reaching a read timeout."""
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self._drip(self.content)

    def begins(self) -> None:
        """Send the headers slowly."""
        self._drip(b"HTTP/1.0 200 OK\r\n" + b"X: " + 10_000 * b"x")

    def _drip(self, content: bytes) -> None:
        for place in range(len(content)):
            if self.ended.wait(0.1):
                return
            try:
                self.wfile.write(content[place : place + 1])
            except OSError:
                return

    def busy(self) -> None:
        """Respond with Retry-After, in seconds or as a date, before serving the file."""
        if self.asked.count("busy") > 1:
            self.good()
        else:
            self._retry_after(503, "1")

    def limits(self) -> None:
        if self.asked.count("limits") > 1:
            self.good()
        else:
            self._retry_after(429, email.utils.formatdate(time.time() + 2.0, usegmt=True))

    def closed(self) -> None:
        self._retry_after(503, "3600")

    def confused(self) -> None:
        self._retry_after(503, "soon\x1b[31m")

    def _retry_after(self, code: int, after: str) -> None:
        self.send_response(code)
        self.send_header("Retry-After", after)
        self.end_headers()

    def flakes(self) -> None:
        """Fail the first request only."""
        if self.asked.count("flakes") > 1:
            self.good()
        else:
            self.fails()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "cartpole-phys" / "datasets" / "v0"


@pytest.fixture
def server(random_file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with one released file; its address."""
    content = random_file.read_bytes()
    Handler.content, Handler.asked, Handler.ended = content, [], threading.Event()
    known = Registry("v0", (), {NAME: Released(NAME, len(content), hashlib.sha256(content).hexdigest())})
    monkeypatch.setattr(fetching, "registry", lambda: known)
    monkeypatch.setattr(downloading, "TIMEOUT", (1.0, 0.5))
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{http.server_address[1]}"
    Handler.ended.set()
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.mark.parametrize("kind", ["good", "redirects", "flakes"])
def test_valid_responses_give_the_file(
    server: str, cache: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRRORS, f"{server}/{kind}")
    path = fetch(NAME)
    assert path == cache / f"{NAME}.hdf5"
    assert path.read_bytes() == Handler.content
    asked = len(Handler.asked)
    assert fetch(f"{NAME}.hdf5") == path
    assert len(Handler.asked) == asked  # from the cache


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("truncates", r"IncompleteRead|Connection broken"),
        ("shorter", OTHER_HASH),
        ("corrupts", OTHER_HASH),
        ("stalls", "timed out"),
        ("circles", "redirects"),
        ("fails", "500"),
        ("confused", "503"),
        ("misses", "404"),
        ("endless", "more than the"),
    ],
)
def test_invalid_responses_give_no_file(
    server: str, cache: Path, kind: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRRORS, f"{server}/{kind}/")
    with pytest.raises(InputError, match=f"Could not fetch {NAME}.hdf5.*({reason}).*build it: build-dataset"):
        fetch(NAME)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("kind", ["drips", "begins"])
def test_a_mirror_that_is_too_slow_is_given_up(
    server: str, cache: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloading, "GRACE", 0.5)
    monkeypatch.setattr(fetching, "TRIES", 1)
    monkeypatch.setenv(MIRRORS, f"{server}/{kind}")
    ended = Future[None]()

    def get() -> None:
        try:
            fetch(NAME)
        except BaseException as error:
            ended.set_exception(error)

    threading.Thread(target=get, daemon=True).start()
    with pytest.raises(InputError, match="slower than"):
        ended.result(timeout=5.0)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(("kind", "seconds"), [("busy", 1.0), ("limits", 0.9)])
def test_retry_after_is_respected(
    server: str, kind: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRRORS, f"{server}/{kind}")
    begun = time.monotonic()
    assert fetch(NAME).read_bytes() == Handler.content
    assert time.monotonic() - begun >= seconds


def test_a_long_retry_after_is_not_respected(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRRORS, f"{server}/closed {server}/fails")
    with pytest.raises(InputError, match=r"/closed: 503.*asks to wait 3,600 s"):
        fetch(NAME)
    assert Handler.asked == ["closed", "fails", "fails"]


def test_an_unreachable_server_is_an_error(server: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRRORS, "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"Connection refused.*name other mirrors in CARTPOLE_PHYS_MIRRORS"):
        fetch(NAME)


def test_mirrors_are_tried_in_order(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRRORS, f"{server}/fails {server}/corrupts\n{server}/good {server}/misses")
    assert fetch(NAME).read_bytes() == Handler.content
    assert Handler.asked == ["fails", "corrupts", "good"]


def test_the_error_lists_every_mirror(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRRORS, f"{server}/fails /no/such/folder")
    with pytest.raises(InputError, match=r"/fails: 500.*; /no/such/folder: No such file or directory"):
        fetch(NAME)


def test_folders_are_mirrors(
    server: str, cache: Path, tmp_path: Path, random_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRRORS, str(tmp_path))
    (tmp_path / f"{NAME}.hdf5").write_bytes(b"another file")
    with pytest.raises(InputError, match=OTHER_HASH):
        fetch(NAME)
    assert not any(cache.iterdir())
    (tmp_path / f"{NAME}.hdf5").write_bytes(random_file.read_bytes())
    assert fetch(NAME).read_bytes() == Handler.content


def test_a_corrupted_cache_entry_is_fetched_again(
    server: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRRORS, f"{server}/good")
    path = fetch(NAME)
    path.write_bytes(Handler.content[:-1])
    assert fetch(NAME).read_bytes() == Handler.content


def test_data_sets_are_loaded_by_name(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRRORS, f"{server}/good")
    monkeypatch.chdir(tmp_path)
    assert load_dataset(NAME).steps == 5_000
    env, train, validation = make_env_and_dataset(NAME)
    assert env.spec is not None
    assert train.steps + validation.steps == 5_000


@pytest.mark.parametrize(
    "name",
    ["../physcartpole-random-v0", "/etc/passwd", "a/b", "..", "", "physcartpole-random-v0/..", "a..b", "A"],
)
def test_paths_are_not_names(server: str, name: str) -> None:
    with pytest.raises(InputError, match="Expected the plain name of a data set"):
        fetch(name)
    assert Handler.asked == []


def test_unknown_names_are_rejected(server: str) -> None:
    with pytest.raises(InputError, match="There is no released data set 'hopper-medium-v2'; choose from"):
        fetch("hopper-medium-v2")


def test_the_error_for_unpublished_data_gives_the_build_command(cache: Path) -> None:
    for get in (fetch, load_dataset):
        with pytest.raises(
            InputError, match="not published yet; build it: build-dataset --policy sac --tier medium"
        ):
            get("physcartpole-sac-medium-v0")


def test_the_error_points_to_an_existing_local_file(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("physcartpole-sac-medium-v0.hdf5").write_bytes(b"")
    with pytest.raises(InputError, match=r"to read it, use: physcartpole-sac-medium-v0\.hdf5$"):
        load_dataset("physcartpole-sac-medium-v0")


@pytest.mark.parametrize("name", ["physcartpole-sac-medum-v0", "physcartpole-sac-medum-v0.hdf5"])
def test_similar_names_are_suggested(name: str) -> None:
    with pytest.raises(InputError, match=r"did you mean physcartpole-sac-medium-v0\?"):
        load_dataset(name)
    with pytest.raises(InputError, match="There is no file"):
        load_dataset(f"data/{name}")


def test_progress_reaches_the_total(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Listening(Silent):
        def __init__(self) -> None:
            self.told: list[tuple[int, int]] = []

        def fetched(self, done: int, total: int) -> None:
            self.told.append((done, total))

    monkeypatch.setenv(MIRRORS, f"{server}/flakes")
    listening = Listening()
    fetch(NAME, listening)
    assert listening.told[-1] == (len(Handler.content), len(Handler.content))


def test_an_unwritable_cache_is_not_reported_as_a_mirror_error(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MIRRORS, f"{server}/good")
    (tmp_path / "cache").write_text("")
    with pytest.raises(InputError, match=r"Cannot write '.*cache.*' \(Not a directory\)"):
        fetch(NAME)
