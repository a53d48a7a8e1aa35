"""Progress reports of long-running work."""

from __future__ import annotations


class Progress:
    """Receives progress reports; subclasses show them."""

    def stage(self, text: str) -> None:
        """Report the start of a new stage."""

    def training(self, steps: int, mean_return: float) -> None:
        """Report the agent's training steps so far and the mean return of its latest checkpoint."""

    def rows(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` transitions are collected or checked."""

    def episodes(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` evaluation episodes are finished."""

    def shards(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` files are finished."""

    def fetched(self, done: int, total: int) -> None:
        """Report that ``done`` of ``total`` bytes are downloaded."""


class Silent(Progress):
    """Progress that is not shown: all methods do nothing."""
