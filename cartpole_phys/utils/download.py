"""Downloads a file over HTTP within a time that its size decides, or says why not."""

from __future__ import annotations

import email.utils
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

TIMEOUT = (10.0, 20.0)  # s, to connect, and without a byte
GRACE = 30.0  # s until headers are there, and before the mean speed counts
SLOWEST = 10_000  # bytes per second, on average after the grace period
LONGEST_WAIT = 60.0  # s that a server may ask for before it is asked again
CHUNK = 1 << 20  # bytes
OTHER_HASH = "the file has another hash than the released one"
BUSY = (429, 503)  # answers that say when to ask again, in Retry-After


class DownloadError(Exception):
    """A server has not given the file.

    The message says why, and ``wait`` for how many seconds it asks to be left alone.
    """

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def download(url: str, path: Path, size: int, sha256: str, report: Callable[[int, int], None]) -> None:
    """Bring a file of ``size`` bytes to its path, whole or not at all.

    A server that sends more bytes is given up, and one that sends fewer than ``SLOWEST`` per second after
    ``GRACE``: a limit on silence alone is none for a server that sends a byte now and then.

    Args:
        url: where the file is.
        path: where it goes.
        size: of the file.
        sha256: of the file.
        report: is told how many bytes of how many have come.

    Raises:
        DownloadError: if it cannot be had.
    """
    import pooch
    from requests import RequestException
    from urllib3.exceptions import HTTPError

    def receive(url: str, target: str, _: Any) -> None:
        begun, done = time.monotonic(), 0
        with _answer(url) as answer, open(target, "wb") as file:
            while piece := answer.raw.read1(CHUNK, decode_content=True):
                file.write(piece)
                done += len(piece)
                if done > size:
                    raise DownloadError(f"it sends more than the {size:,} bytes of the file")
                if done < SLOWEST * (time.monotonic() - begun - GRACE):
                    raise _too_slow()
                report(done, size)

    pooch.get_logger().setLevel(logging.WARNING)
    try:
        pooch.retrieve(url, f"sha256:{sha256}", path.name, path.parent, downloader=receive)
    except (RequestException, HTTPError, ValueError, OSError) as error:
        raise DownloadError(_reason(error)) from error


def _answer(url: str) -> Any:
    """A server's answer, of which only the headers are read; these come in a thread, for they have no limit.

    Raises:
        RequestException: if there is none, or not the file.
        DownloadError: if it takes too long, or is busy.
    """
    import requests

    coming = Future[Any]()

    def ask() -> None:
        try:
            coming.set_result(requests.get(url, stream=True, timeout=TIMEOUT))
        except Exception as error:
            coming.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer = coming.result(GRACE)
    except TimeoutError as error:
        raise _too_slow() from error
    if answer.status_code in BUSY:
        wait = _wait(answer.headers.get("Retry-After", ""))
        asks = f", and asks to wait {wait:,.0f} s" if wait else ""
        raise DownloadError(f"{answer.status_code} {answer.reason}{asks}", wait)
    answer.raise_for_status()
    return answer


def _too_slow() -> DownloadError:
    return DownloadError(f"it is slower than {SLOWEST / 1e3:g} kB/s")


def _wait(text: str) -> float:
    """The seconds that Retry-After asks for, as a number or a date; 0 if it is neither."""
    try:
        if text.isdecimal():
            return float(text)
        return max((email.utils.parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds(), 0.0)
    except (OverflowError, TypeError, ValueError):
        return 0.0


def _reason(error: Exception) -> str:
    """What went wrong, without the layers around it."""
    if "hash" in str(error):
        return OTHER_HASH
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    inner = error.args[0] if error.args else error
    return " ".join(str(getattr(inner, "reason", inner)).split())[:200]
