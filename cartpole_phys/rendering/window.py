"""A pygame window that shows frames in real time."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.error import DependencyNotInstalled

from cartpole_phys.utils.errors import InputError

TITLE = "cartpole-phys"
DRIVER = "SDL_VIDEODRIVER"  # the environment variable that selects a video driver
UNSEEN_DRIVERS = ("dummy", "offscreen")  # SDL's fallbacks without a display


def load_pygame() -> Any:
    """Import pygame on first use, without its greeting.

    Only its display and fonts are ever initialized: all of pygame would also open sound devices.

    Raises:
        DependencyNotInstalled: without pygame.
    """
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError as error:
        raise DependencyNotInstalled(
            'Rendering needs pygame; install it with: pip install "cartpole-phys[render]"'
        ) from error
    return pygame


class Window:
    """A window that shows a sequence of frames; it opens with the first one.

    SDL supports one such window per process: two environments in human mode share it. A pickled or copied
    window is closed.
    """

    def __init__(self, frames_per_second: float, must_be_seen: bool = False) -> None:
        """Create a window for a frame rate.

        Args:
            frames_per_second: the frame rate of ``show`` and ``present``.
            must_be_seen: fail without a display, instead of using SDL's invisible driver, as in tests.

        Raises:
            DependencyNotInstalled: without pygame.
        """
        self._pygame = load_pygame()
        self._rate, self._must_be_seen = frames_per_second, must_be_seen
        self._clock = self._pygame.time.Clock()
        self._screen: Any = None
        self._dismissed = False

    def __reduce__(self) -> tuple[type[Window], tuple[float, bool]]:
        return Window, (self._rate, self._must_be_seen)

    def show(self, frame: npt.NDArray[np.uint8]) -> None:
        """Show a frame (H, W, 3), and wait until the next one is due.

        If the user closes the window, the program continues: later frames are neither shown nor waited for,
        until ``close`` is called.

        Raises:
            InputError: if no window can be opened.
        """
        if self._dismissed:
            return
        self.present(frame)
        self._pygame.event.pump()
        if self._pygame.event.get(self._pygame.QUIT):
            self.close()
            self._dismissed = True

    def present(self, frame: npt.NDArray[np.uint8], title: str = TITLE) -> None:
        """Show a frame (H, W, 3) and wait; the caller must process keyboard and window events.

        Raises:
            InputError: if no window can be opened.
        """
        pygame = self._pygame
        height, width, _ = frame.shape
        self._open((width, height), title)
        self._screen.blit(
            pygame.image.frombuffer(np.ascontiguousarray(frame), (width, height), "RGB"), (0, 0)
        )
        pygame.display.flip()
        self._clock.tick(self._rate)

    def close(self) -> None:
        """Close the window; a later frame opens it again."""
        self._screen, self._dismissed = None, False
        self._pygame.display.quit()

    def _open(self, size: tuple[int, int], title: str) -> None:
        """Open a window of this size (width, height) in pixels, unless it is already open."""
        display = self._pygame.display
        # Another environment that closes its window ends the display of the whole process.
        there = self._screen is not None and display.get_surface() is self._screen
        if there and self._screen.get_size() == size:
            return
        try:
            if self._must_be_seen:
                _require_display()
            display.init()
            if self._must_be_seen and display.get_driver() in UNSEEN_DRIVERS and DRIVER not in os.environ:
                raise self._pygame.error("the display cannot be reached")
            self._screen = display.set_mode(size)
            display.set_caption(title)
        except self._pygame.error as error:
            display.quit()
            raise InputError(
                f"Cannot open a window: {error}. Run this on a machine with a display; without one, "
                'environments return images with render_mode="rgb_array".'
            ) from error


def _require_display() -> None:
    """Check for a display on Linux by its environment variables: SDL would print to stderr on failure.

    Raises:
        InputError: if no display is named and no video driver chosen.
    """
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY", DRIVER} & set(os.environ):
        raise InputError(
            "Cannot open a window: there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set). Run "
            "this on a machine with one; without one, environments return images with "
            'render_mode="rgb_array".'
        )
