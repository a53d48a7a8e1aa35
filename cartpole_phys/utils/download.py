"""Download of a file over HTTP, with a minimum speed and a checksum."""

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
GRACE = 30.0  # s, limit for the headers, and grace period before the speed limit
SLOWEST = 10_000  # bytes per second, mean after the grace period
LONGEST_WAIT = 60.0  # s, longest Retry-After that is respected
CHUNK = 1 << 20  # bytes
OTHER_HASH = "checksum mismatch: the file differs from the released one"
BUSY = (429, 503)  # status codes with a Retry-After header


class DownloadError(Exception):
    """A failed download; the message is the reason, and ``wait`` the server's Retry-After in seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


def download(url: str, path: Path, size: int, sha256: str, report: Callable[[int, int], None]) -> None:
    """Download a file of ``size`` bytes, atomically.

    The download is aborted if the server sends more bytes, or fewer than ``SLOWEST`` per second after
    ``GRACE`` (a timeout between bytes alone would not stop a server that sends single bytes).

    Args:
        url: of the file.
        path: of the downloaded file.
        size: of the file, bytes.
        sha256: of the file.
        report: called with the number of bytes received and ``size``.

    Raises:
        DownloadError: if the download fails.
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
    """Request a file and read the response headers, in a thread because ``requests`` has no limit on them.

    Raises:
        RequestException: if there is no response, or an error status.
        DownloadError: if the response takes too long, or the server is busy.
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
    """The seconds in a Retry-After header, given as a number or a date; 0 if it is neither."""
    try:
        if text.isdecimal():
            return float(text)
        return max((email.utils.parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds(), 0.0)
    except (OverflowError, TypeError, ValueError):
        return 0.0


def _reason(error: Exception) -> str:
    """The innermost reason of an error, without wrapping exceptions."""
    if "hash" in str(error):
        return OTHER_HASH
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    inner = error.args[0] if error.args else error
    return " ".join(str(getattr(inner, "reason", inner)).split())[:200]
