"""Who is told how far a build has come."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Is told how far a build has come."""

    def stage(self, text: str) -> None:
        """A new stage has begun."""
        ...

    def training(self, steps: int, mean_return: float) -> None:
        """The agent was trained for ``steps`` steps and its latest checkpoint has this mean return."""
        ...

    def rows(self, done: int, total: int) -> None:
        """``done`` of ``total`` transitions are collected, or checked."""
        ...

    def episodes(self, done: int, total: int) -> None:
        """The score has been measured on ``done`` of ``total`` episodes."""
        ...

    def shards(self, done: int, total: int) -> None:
        """``done`` of ``total`` files are finished."""
        ...

    def fetched(self, done: int, total: int) -> None:
        """``done`` of ``total`` bytes have come."""
        ...


class Silent:
    """Tells nobody."""

    def stage(self, text: str) -> None:
        """Say nothing."""

    def training(self, steps: int, mean_return: float) -> None:
        """Say nothing."""

    def rows(self, done: int, total: int) -> None:
        """Say nothing."""

    def episodes(self, done: int, total: int) -> None:
        """Say nothing."""

    def shards(self, done: int, total: int) -> None:
        """Say nothing."""

    def fetched(self, done: int, total: int) -> None:
        """Say nothing."""
