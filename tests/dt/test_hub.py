"""Download of models from the Hugging Face Hub."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.dt.test_hugging_face import _saved, _theirs

pytestmark = pytest.mark.filterwarnings("ignore")  # warnings of transformers and its imports

NAME = "edbeeching/decision-transformer-gym-pole-medium"


class Hub(BaseHTTPRequestHandler):
    """HTTP handler that emulates the Hub API for one model."""

    folder: Path
    commit = "0" * 40

    def do_HEAD(self) -> None:
        """Send the headers of a file."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """Send the model's metadata or a file."""
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        content, name = b"", self.path.rsplit("/", 1)[-1].partition("?")[0]
        paths = sorted(self.folder.iterdir())
        if self.path.startswith(f"/api/models/{NAME}/tree/"):
            files = [
                {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": self.commit}
                for path in paths
            ]
            content = json.dumps(files).encode()
        elif self.path.startswith(f"/api/models/{NAME}"):
            siblings = [{"rfilename": path.name} for path in paths]
            content = json.dumps({"id": NAME, "sha": self.commit, "siblings": siblings}).encode()
        elif self.path.startswith(f"/{NAME}/resolve/") and (self.folder / name).is_file():
            content = (self.folder / name).read_bytes()
        self.send_response(200 if content else 404)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Type", "application/json")
        self.send_header("X-Repo-Commit", self.commit)
        self.send_header("ETag", f'"{name}"')
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *arguments: Any) -> None:
        """Suppress logging."""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[str]:
    """Serve a Hub with one model and return its address."""
    Hub.folder = _saved(tmp_path / "hub", _theirs())
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


LOAD = """
import sys
from dt.formats import hugging_face, onnx
from cartpole_phys.utils.errors import InputError
for name in sys.argv[1:]:
    try:
        print(hugging_face.load(name, "PhysCartPole-v0").normalization.observation_mean)
    except InputError as error:
        print(error)
"""


def _load_output(address: str, home: Path, *names: str) -> list[str]:
    """Return the line that is printed for each model."""
    environment = {"HF_ENDPOINT": address, "HF_HOME": str(home), "PATH": "", "HF_HUB_DISABLE_XET": "1"}
    command = [sys.executable, "-W", "ignore", "-c", LOAD, *names]
    result = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=True)
    return result.stdout.strip().splitlines()[-len(names) :]


def test_hub_models_are_downloaded(hub: str, tmp_path: Path) -> None:
    mean, *errors = _load_output(hub, tmp_path, NAME, "nobody/nothing", "no/such/name")
    assert mean == "(0.5, -0.25, 0.01, 0.0)"
    for name, error in zip(("nobody/nothing", "no/such/name"), errors, strict=True):
        assert name in error
        assert "is not a folder and cannot be downloaded" in error


@pytest.mark.slow
def test_an_unreachable_hub_is_an_error(tmp_path: Path) -> None:
    (error,) = _load_output("http://127.0.0.1:9", tmp_path, "other/model")
    assert "is not a folder and cannot be downloaded" in error
