"""A window that shows frames at the pace of real time, with pygame."""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.error import DependencyNotInstalled

from cartpole_phys.utils.errors import InputError

TITLE = "cartpole-phys"
DRIVER = "SDL_VIDEODRIVER"  # the environment variable by which a user chooses a video driver
UNSEEN_DRIVERS = ("dummy", "offscreen")  # what SDL falls back to where there is no display


def load_pygame() -> Any:
    """The module pygame, imported when it is first needed, without the greeting that it prints.

    Only its display and its fonts are ever initialised: all of pygame would open sound devices too.

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
    """A window that shows one frame after another; it opens with the first one.

    A process has one such window at a time, as SDL has it: two environments in human mode share it. A pickle
    or a copy is a window that is not open.
    """

    def __init__(self, frames_per_second: float, must_be_seen: bool = False) -> None:
        """A window for that many frames in a second of real time.

        Args:
            frames_per_second: the pace that ``show`` and ``present`` keep.
            must_be_seen: refuse to open where there is no display, instead of showing the frames to
                nobody, which suits tests.

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
        """Show a frame (H, W, 3), and wait until it is time for the next one.

        Closing the window by its X button ends the showing, not the program: later frames are not shown
        and nothing waits, until ``close``.

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
        """Show a frame (H, W, 3) and wait; whoever calls this reads the events of keys and X button.

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
        """Have a window of this size (width, height) in pixels."""
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
                f"Cannot open a window: {error}. Run this where there is a display; without one, "
                'environments give frames with render_mode="rgb_array".'
            ) from error


def _require_display() -> None:
    """Refuse Linux without a display by its environment: SDL would complain on stderr on its way there.

    Raises:
        InputError: if no display is named and no video driver chosen.
    """
    if sys.platform == "linux" and not {"DISPLAY", "WAYLAND_DISPLAY", DRIVER} & set(os.environ):
        raise InputError(
            "Cannot open a window: there is no display (neither DISPLAY nor WAYLAND_DISPLAY is set). Run "
            'this where there is one; without one, environments give frames with render_mode="rgb_array".'
        )
