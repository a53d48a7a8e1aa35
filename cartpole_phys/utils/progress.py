"""Progress reports of long-running work."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives progress reports."""

    def stage(self, text: str) -> None:
        """Report the start of a new stage."""
        ...

    def training(self, steps: int, mean_return: float) -> None:
        """Report the agent's training steps so far and the mean return of its latest checkpoint."""
        ...

    def rows(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` transitions are collected or checked."""
        ...

    def episodes(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` evaluation episodes are finished."""
        ...

    def shards(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` files are finished."""
        ...

    def fetched(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` bytes are downloaded."""
        ...


class Silent:
    """Progress that is not reported."""

    def stage(self, text: str) -> None:
        """Do nothing."""

    def training(self, steps: int, mean_return: float) -> None:
        """Do nothing."""

    def rows(self, done: int, total: int) -> None:
        """Do nothing."""

    def episodes(self, done: int, total: int) -> None:
        """Do nothing."""

    def shards(self, done: int, total: int) -> None:
        """Do nothing."""

    def fetched(self, done: int, total: int) -> None:
        """Do nothing."""
