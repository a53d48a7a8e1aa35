"""Worker that reads each given file with every reading command and reports the outcome."""

import contextlib
import gc
import io
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cartpole_phys
from cartpole_phys import cli
from cartpole_phys.data.hashing import array_sha256
from cartpole_phys.data.hdf5.file import read
from cartpole_phys.utils.errors import InputError

FILES_BETWEEN_COLLECTIONS = 20
Answer = tuple[int, str]  # exit code and last line


def _command(*arguments: str) -> Answer:
    """Run a command in this process."""
    sys.argv = ["cartpole-phys", *arguments]
    words = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(words):
        try:
            cli.main()
        except SystemExit as exit_:
            return int(exit_.code or 0), words.getvalue()
    return 0, words.getvalue()


def _load(path: str) -> Answer:
    """Run ``load_dataset`` as a command."""
    try:
        data = cartpole_phys.load_dataset(path)
    except InputError as error:
        return 2, "error: " + " ".join(str(error).split()) + "\n"
    assert len(data.returns) == len(data.lengths) == len(data)
    return 0, ""


def _look(look: Callable[..., Answer], *arguments: str) -> dict[str, Any]:
    start, trace = time.process_time(), ""  # other processes may take the processor
    try:
        code, words = look(*arguments)
    except BaseException:
        code, words, trace = -1, "", traceback.format_exc()
    return {"code": code, "words": words, "trace": trace, "seconds": time.process_time() - start}


def _looks(path: str) -> dict[str, dict[str, Any]]:
    page = str(Path(path).with_suffix(".html"))
    return {
        "check": _look(_command, "check", "--quiet", path),
        "show": _look(_command, "show", "--quiet", path),
        "show --html": _look(_command, "show", "--quiet", "--html", page, path),
        "load_dataset": _look(_load, path),
    }


def hashes(path: str | Path) -> dict[str, str]:
    """Hashes of all arrays in a file."""
    return {name: array_sha256(array) for name, array in read(path).arrays.items()}


def _peak_memory() -> int:
    """Peak memory in bytes since the last ``_forget_peak``."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return 1_024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5", "ascii")


def main() -> None:
    """Process files until the input ends."""
    for number, line in enumerate(sys.stdin):
        path = line.rstrip("\n")
        gc.unfreeze()  # every command freezes what it has loaded, as if it were this process's only one
        if number % FILES_BETWEEN_COLLECTIONS == 0:
            gc.collect()
        _forget_peak()
        looks = _looks(path)
        passed = looks["check"]["code"] == 0
        answer = {"looks": looks, "bytes": _peak_memory(), "hashes": hashes(path) if passed else None}
        print(json.dumps(answer), flush=True, file=sys.__stdout__)


if __name__ == "__main__":
    main()
