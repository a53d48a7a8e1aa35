"""Commands in subprocesses, forked from a server that has imported the slow modules."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import runpy
import sys
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path

MODULES = (
    "cartpole_phys.cli",
    "dt.train",
    "dt.evaluate",
    "dt.exchange",
    "dt.attention.__main__",
    "torch._dynamo",
)
SECONDS = 180  # a machine may be loaded
NOTICE = "cartpole-phys: compiling kernels (once per machine)...\n"

FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(list(MODULES))


def without_notice(stderr: str) -> str:
    """Text on stderr without the notice of the first run with an empty kernel cache."""
    return stderr.replace(NOTICE, "")


class Command:
    """A running command, such as ``python -m dt.train`` with a user's arguments."""

    def __init__(
        self,
        program: str,
        *arguments: object,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start a module's ``main``, or the function of an entry point ``module:function``, in ``folder``."""
        self._folder = tempfile.TemporaryDirectory()
        self._outputs = [Path(self._folder.name, name) for name in ("output", "errors")]
        words = [program, *map(str, arguments)]
        place = str(folder or Path.cwd())
        self._process = FORKING.Process(target=_run, args=(words, self._outputs, place, environment or {}))
        self._process.start()

    def send_signal(self, number: int) -> None:
        """Send a signal, such as that of Ctrl-C."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    @property
    def runs(self) -> bool:
        """Whether the process is alive."""
        return self._process.is_alive()

    def finish(self) -> tuple[int, str, str]:
        """Wait for the process; return its exit code, stdout and stderr."""
        self._process.join(SECONDS)
        code = self._process.exitcode
        if code is None:
            self._process.kill()
            self._process.join()
        output, errors = (path.read_text("utf-8") for path in self._outputs)
        self._folder.cleanup()
        assert code is not None, f"still running after {SECONDS} s: {errors}"
        return code, output, errors


def script() -> None:
    """Run the Python file given as the first argument, with the remaining arguments and no warnings."""
    del sys.argv[0]
    warnings.simplefilter("ignore")
    runpy.run_path(sys.argv[0], run_name="__main__")


def _run(words: list[str], outputs: list[Path], folder: str, environment: Mapping[str, str]) -> None:
    for number, path in enumerate(outputs, start=1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = words
    module, _, function = words[0].partition(":")
    getattr(importlib.import_module(module), function or "main")()
