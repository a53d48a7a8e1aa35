"""Draws one cart and pole with pygame."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.error import DependencyNotInstalled

from cartpole_phys.columns import Columns
from cartpole_phys.simulator import CartPole

WIDTH, HEIGHT = 600, 300  # pixels
OVERSAMPLING = 2  # drawn this much larger, then scaled down: smooth edges
MOSAIC = 64  # more would not be legible
MARGIN = 60  # pixels between the track's end and the picture's edge

SKY, GROUND, TRACK = (250, 250, 247), (226, 224, 217), (120, 118, 112)
CART, WHEEL, POLE, PIVOT = (0, 94, 162), (60, 60, 60), (230, 126, 34), (255, 255, 255)
LIMIT, FORCE, PUSH = (190, 30, 45), (0, 130, 90), (150, 50, 160)


def _pygame() -> Any:
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError as error:
        raise DependencyNotInstalled(
            'Rendering needs pygame; install it with: pip install "cartpole-phys[render]"'
        ) from error
    return pygame


def draw(columns: Columns, index: int) -> npt.NDArray[np.uint8]:
    """One environment as an image (300, 600, 3), with force and push as arrows, green and purple.

    Raises:
        DependencyNotInstalled: without pygame.
    """
    pygame = _pygame()
    zoom = OVERSAMPLING
    system, params, state = columns.system, columns.params_of(index), columns.states[:, index]
    push = float(columns.pushes[index])
    force = float(columns.actions[index]) * params.force_mag
    canvas = pygame.Surface((WIDTH * zoom, HEIGHT * zoom))
    scale = (WIDTH / 2 - MARGIN) * zoom / system.task.x_threshold  # pixels per metre
    ground = (HEIGHT - 60) * zoom
    _draw_track(pygame, canvas, ground, scale, system)
    centre = WIDTH * zoom / 2 + float(state[0]) * scale
    _draw_cart(pygame, canvas, ground, centre)
    _draw_pole(pygame, canvas, (centre, ground - 34 * zoom), float(state[2]), 2 * params.half_length * scale)
    for colour, height, newtons in ((FORCE, 21, force), (PUSH, 50, push)):
        _draw_arrow(pygame, canvas, colour, (centre, ground - height * zoom), newtons / params.force_mag)
    small = pygame.transform.smoothscale(canvas, (WIDTH, HEIGHT))
    pixels: npt.NDArray[np.uint8] = np.transpose(
        pygame.surfarray.array3d(small), (1, 0, 2)
    )  # (W, H, 3) -> (H, W, 3)
    return np.ascontiguousarray(pixels)


def draw_mosaic(columns: Columns) -> npt.NDArray[np.uint8]:
    """The first environments, at most ``MOSAIC``, side by side in one image, as square as they go.

    Raises:
        DependencyNotInstalled: without pygame.
    """
    count = min(len(columns), MOSAIC)
    across = math.ceil(math.sqrt(count))
    rows = [
        [
            draw(columns, i) if i < count else np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
            for i in range(j, j + across)
        ]
        for j in range(0, count, across)
    ]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)


class Window:
    """A window that shows one picture after another."""

    def __init__(self, pictures_a_second: int) -> None:
        """A window that opens with its first picture.

        Raises:
            DependencyNotInstalled: without pygame.
        """
        self._pygame = _pygame()
        self._pygame.display.init()
        self._clock = self._pygame.time.Clock()
        self._rate = pictures_a_second
        self._screen: Any = None

    def show(self, picture: npt.NDArray[np.uint8]) -> None:
        """Show a picture (H, W, 3), and wait until it is time for the next one."""
        height, width, _ = picture.shape
        if self._screen is None:
            self._screen = self._pygame.display.set_mode((width, height))
            self._pygame.display.set_caption("cartpole-phys")
        self._pygame.surfarray.blit_array(self._screen, picture.transpose(1, 0, 2))  # (H, W, 3) -> (W, H, 3)
        self._pygame.event.pump()
        self._pygame.display.flip()
        self._clock.tick(self._rate)

    def close(self) -> None:
        """Close the window."""
        self._pygame.display.quit()


def _draw_track(pygame: Any, canvas: Any, ground: float, scale: float, system: CartPole) -> None:
    zoom, width = OVERSAMPLING, canvas.get_width()
    canvas.fill(SKY)
    pygame.draw.rect(canvas, GROUND, (0, ground, width, canvas.get_height() - ground))
    pygame.draw.line(canvas, TRACK, (0, ground), (width, ground), 2 * zoom)
    for side in (-1, 1):
        x = width / 2 + side * system.task.x_threshold * scale
        pygame.draw.line(canvas, LIMIT, (x, ground - 60 * zoom), (x, ground + 12 * zoom), 3 * zoom)


def _draw_cart(pygame: Any, canvas: Any, ground: float, centre: float) -> None:
    zoom = OVERSAMPLING
    body = pygame.Rect(0, 0, 76 * zoom, 26 * zoom)
    body.midbottom = (round(centre), round(ground - 8 * zoom))
    pygame.draw.rect(canvas, CART, body, border_radius=5 * zoom)
    for side in (-1, 1):
        pygame.draw.circle(canvas, WHEEL, (centre + side * 24 * zoom, ground - 8 * zoom), 8 * zoom)


def _draw_pole(pygame: Any, canvas: Any, pivot: tuple[float, float], angle: float, length: float) -> None:
    zoom = OVERSAMPLING
    along = np.array([math.sin(angle), -math.cos(angle)])
    across = np.array([math.cos(angle), math.sin(angle)]) * 4.5 * zoom
    base, tip = np.array(pivot), np.array(pivot) + along * length
    pygame.draw.polygon(canvas, POLE, [base - across, base + across, tip + across, tip - across])
    pygame.draw.circle(canvas, POLE, tip, 4.5 * zoom)
    pygame.draw.circle(canvas, POLE, base, 7 * zoom)
    pygame.draw.circle(canvas, PIVOT, base, 3 * zoom)


def _draw_arrow(
    pygame: Any, canvas: Any, colour: tuple[int, int, int], origin: tuple[float, float], share: float
) -> None:
    zoom = OVERSAMPLING
    if abs(share) < 0.02:
        return
    direction = math.copysign(1.0, share)
    start = origin[0] + direction * 42 * zoom
    tip = start + share * 60 * zoom
    y = origin[1]
    pygame.draw.line(canvas, colour, (start, y), (tip, y), 4 * zoom)
    head = [(tip + direction * 9 * zoom, y), (tip, y - 7 * zoom), (tip, y + 7 * zoom)]
    pygame.draw.polygon(canvas, colour, head)
