"""Images of cart-poles with pygame: cart, pole, forces, pole angle and termination thresholds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cartpole_phys.batch import Columns
from cartpole_phys.rendering.window import load_pygame
from cartpole_phys.system import PARAM_NAMES, CartPole

# All lengths are in pixels of a full-size frame unless noted otherwise.
WIDTH = 600
BALANCE_HEIGHT, SWING_UP_HEIGHT = 300, 360
BALANCE_PIVOT, SWING_UP_PIVOT = 208, 187  # below the upper edge: a hanging pole needs room below
MARGIN = 60  # between the track's end and the frame's edge
EDGE = 8  # margin at the upper and lower edges
OVERSAMPLING = 2  # for smooth edges
MOSAIC = 64  # frames; more would not be legible
MOSAIC_WIDTH = 1200

USUAL_SCALE = 100.0  # pixels per meter at which cart and arrows have their full size
SMALLEST = 0.5  # minimum size of cart and arrows at smaller scales, relative to the full size
TEXT, SMALLEST_TEXT = 21, 13  # height of letters; the smallest in pixels of the mosaic
REFERENCE = 1.16  # length of the vertical and of the limits, in poles; the number stands above it
ARC_UPRIGHT, ARC_AROUND = 0.78, 0.42  # radius of the angle's arc, in poles: small angles need a large one
LONGEST_ARROW = 2.5  # in full forces

Color = tuple[int, int, int]
Point = tuple[float, float]

SKY, GROUND, TRACK, GRID = (250, 250, 247), (226, 224, 217), (120, 118, 112), (160, 158, 152)
CART, WHEEL, POLE, PIVOT = (0, 94, 162), (60, 60, 60), (230, 126, 34), (255, 255, 255)
LIMIT, FORCE, PUSH = (190, 30, 45), (0, 130, 90), (150, 50, 160)
FALL, VERTICAL, WEDGE, ARC = (236, 184, 182), (186, 184, 178), (250, 228, 205), (120, 62, 10)
INK = (70, 68, 64)


@dataclass(frozen=True)
class _Scene:
    """Layout of a surface; ``zoom`` is its size relative to a full-size frame."""

    pygame: Any
    surface: Any
    zoom: float
    scale: float  # pixels per meter
    pivot: float  # pixels below the upper edge
    text: int  # pixels
    camera: float = 0.0  # m, position at the middle of the frame

    @property
    def size(self) -> float:
        """Size of cart and arrows in pixels of the surface, relative to their full size."""
        return self.zoom * min(1.0, max(SMALLEST, self.scale / (USUAL_SCALE * self.zoom)))

    @property
    def rail(self) -> float:
        """Height of the track, pixels below the upper edge."""
        return self.pivot + 34 * self.size

    @property
    def middle(self) -> float:
        """Horizontal pixel position of x = 0."""
        return float(self.surface.get_width()) / 2 - self.camera * self.scale

    def stroke(self, width: float) -> int:
        """The width of a line, at least one pixel of the frame."""
        return max(OVERSAMPLING, round(width * self.zoom))


def draw(columns: Columns, index: int, note: str = "") -> npt.NDArray[np.uint8]:
    """Draw one environment as an image (H, W, 3): (300, 600, 3), in the swing-up (360, 600, 3).

    It shows the cart, the pole, and the track's limits in red; the force as a green arrow and the push as a
    purple one; the pole angle as an arc and in degrees; and in the balance task the terminal angles as faint
    red lines. The scale fits the longest pole.

    Args:
        columns: the environments.
        index: which one of them.
        note: a line of text in the upper left corner.

    Raises:
        DependencyNotInstalled: without pygame.
    """
    pygame = load_pygame()
    pygame.font.init()
    canvas = pygame.Surface((WIDTH * OVERSAMPLING, _height(columns.system) * OVERSAMPLING))
    scene = _draw_one(pygame, canvas, columns, index)
    if note:
        corner = (EDGE * scene.zoom, EDGE * scene.zoom)
        _write(scene, note, 16 * OVERSAMPLING, INK, topleft=corner)
    return _image(pygame, canvas)


def draw_mosaic(columns: Columns) -> npt.NDArray[np.uint8]:
    """Draw the first environments, at most ``MOSAIC``, in one nearly square grid at most 1200 pixels wide.

    Raises:
        DependencyNotInstalled: without pygame.
    """
    pygame = load_pygame()
    pygame.font.init()
    count = min(len(columns), MOSAIC)
    across = math.ceil(math.sqrt(count))
    down = math.ceil(count / across)
    ratio = min(1.0, MOSAIC_WIDTH / (across * WIDTH))
    width, height = (round(full * ratio) * OVERSAMPLING for full in (WIDTH, _height(columns.system)))
    canvas = pygame.Surface((across * width, down * height))
    canvas.fill(GROUND)
    for i in range(count):
        corner = (i % across * width, i // across * height)
        _draw_one(pygame, canvas.subsurface((*corner, width, height)), columns, i)
    for i in range(1, across):
        pygame.draw.line(canvas, GRID, (i * width, 0), (i * width, down * height), OVERSAMPLING)
    for j in range(1, down):
        pygame.draw.line(canvas, GRID, (0, j * height), (across * width, j * height), OVERSAMPLING)
    return _image(pygame, canvas)


def _height(system: CartPole) -> int:
    return SWING_UP_HEIGHT if system.task.starts_hanging else BALANCE_HEIGHT


def _image(pygame: Any, canvas: Any) -> npt.NDArray[np.uint8]:
    """Scale a canvas down, and convert it to pixels (H, W, 3)."""
    width, height = (pixels // OVERSAMPLING for pixels in canvas.get_size())
    small = pygame.transform.smoothscale(canvas, (width, height))
    flat = np.frombuffer(pygame.image.tobytes(small, "RGB"), np.uint8)
    return flat.reshape(height, width, 3).copy()  # (H × W × 3,) -> (H, W, 3)


def _draw_one(pygame: Any, surface: Any, columns: Columns, index: int) -> _Scene:
    """Draw one environment so that it fills a surface."""
    system, params = columns.system, columns.params_of(index)
    scene = _scene(pygame, surface, columns)
    state, beyond = columns.states[:, index], 2 * system.task.x_threshold
    x = min(max(float(np.nan_to_num(state[0])), -beyond), beyond)
    visible = (surface.get_width() / 2 - MARGIN * scene.zoom) / scene.scale
    scene = replace(scene, camera=x - min(max(x, -visible), visible))  # follows a cart that leaves the track
    _draw_track(scene, system)
    if not np.isfinite(state).all():  # after an overflow the cart has no position
        return scene
    center = scene.middle + x * scene.scale
    angle = math.remainder(float(state[2]), 2 * math.pi)
    base, length = (center, scene.pivot), 2 * params.half_length * scene.scale
    _draw_angle(scene, system, base, angle, length)
    _draw_cart(scene, center)
    _draw_pole(scene, base, angle, length)
    share = float(columns.actions[index])
    for color, height, shown in (
        (FORCE, 28, share),
        (PUSH, 13, float(columns.pushes[index]) / params.force_mag),
    ):
        _draw_arrow(scene, color, (center, scene.rail - height * scene.size), shown)
    return scene


def _scene(pygame: Any, surface: Any, columns: Columns) -> _Scene:
    """The layout for a surface: the track and every pole of these environments must fit."""
    system = columns.system
    hanging = system.task.starts_hanging
    zoom = surface.get_width() / WIDTH
    pivot = (SWING_UP_PIVOT if hanging else BALANCE_PIVOT) * zoom
    text = max(TEXT * zoom, SMALLEST_TEXT * OVERSAMPLING)
    half_length = float(columns.params[PARAM_NAMES.index("half_length")].max())
    for name, _, highest in system.randomize:
        if name == "half_length":
            half_length = max(half_length, highest)
    room = (pivot - text - EDGE * zoom) / REFERENCE
    if hanging:
        room = min(room, surface.get_height() - pivot - EDGE * zoom)
    track = (WIDTH / 2 - MARGIN) * zoom / system.task.x_threshold
    return _Scene(pygame, surface, zoom, min(track, room / (2 * half_length)), pivot, round(text))


def _draw_track(scene: _Scene, system: CartPole) -> None:
    pygame, surface = scene.pygame, scene.surface
    width, height = surface.get_size()
    surface.fill(SKY)
    if not system.task.starts_hanging:  # there the pole swings through below the track
        pygame.draw.rect(surface, GROUND, (0, scene.rail, width, height - scene.rail))
    pygame.draw.line(surface, TRACK, (0, scene.rail), (width, scene.rail), scene.stroke(2))
    for side in (-1, 1):
        x = scene.middle + side * system.task.x_threshold * scene.scale
        top, bottom = scene.rail - 60 * scene.size, scene.rail + 12 * scene.size
        pygame.draw.line(surface, LIMIT, (x, top), (x, bottom), scene.stroke(3))


def _draw_angle(scene: _Scene, system: CartPole, base: Point, angle: float, length: float) -> None:
    """The vertical, the limits that end the episode, and the angle as an arc and as a number."""
    limit = system.task.theta_threshold
    radius = length * (ARC_UPRIGHT if math.isfinite(limit) else ARC_AROUND)
    points = [_at(base, radius, angle * i / 48) for i in range(49)]
    scene.pygame.draw.polygon(scene.surface, WEDGE, [base, *points])
    if math.isfinite(limit):
        for side in (-1, 1):
            _draw_dashes(scene, FALL, base, _at(base, length * REFERENCE, side * limit))
    top = _at(base, length * REFERENCE, 0.0)
    _draw_dashes(scene, VERTICAL, base, top)
    scene.pygame.draw.lines(scene.surface, ARC, False, points, scene.stroke(2.5))
    number = f"{math.degrees(angle):.1f}°".replace("-", "−")
    number = number.removeprefix("−") if not any(digit in number for digit in "123456789") else number
    _write(scene, number, scene.text, ARC, midbottom=(top[0], top[1] - 2 * scene.zoom))


def _draw_cart(scene: _Scene, center: float) -> None:
    pygame, size = scene.pygame, scene.size
    body = pygame.Rect(0, 0, round(76 * size), round(28 * size))
    body.midbottom = (round(center), round(scene.rail - 8 * size))
    pygame.draw.rect(scene.surface, CART, body, border_radius=round(5 * size))
    for side in (-1, 1):
        pygame.draw.circle(scene.surface, WHEEL, (center + side * 24 * size, scene.rail - 8 * size), 8 * size)


def _draw_pole(scene: _Scene, base: Point, angle: float, length: float) -> None:
    pygame, surface, half = scene.pygame, scene.surface, 4.5 * scene.size
    tip = _at(base, length, angle)
    aside = (half * math.cos(angle), half * math.sin(angle))
    corners = [
        (end[0] + side * aside[0], end[1] + side * aside[1])
        for end, side in ((base, -1), (base, 1), (tip, 1), (tip, -1))
    ]
    pygame.draw.polygon(surface, POLE, corners)
    pygame.draw.circle(surface, POLE, tip, half)
    pygame.draw.circle(surface, POLE, base, 7 * scene.size)
    pygame.draw.circle(surface, PIVOT, base, 3 * scene.size)


def _draw_arrow(scene: _Scene, color: Color, origin: Point, share: float) -> None:
    """Draw an arrow away from the cart, with a length in proportion to the full force."""
    if abs(share) < 0.02:
        return
    size, y = scene.size, origin[1]
    direction = math.copysign(1.0, share)
    start = origin[0] + direction * 41 * size
    end = start + min(max(share, -LONGEST_ARROW), LONGEST_ARROW) * 60 * size
    thick = max(OVERSAMPLING, round(4 * size))
    scene.pygame.draw.line(scene.surface, color, (start, y), (end, y), thick)
    head = [(end + direction * 9 * size, y), (end, y - 6.5 * size), (end, y + 6.5 * size)]
    scene.pygame.draw.polygon(scene.surface, color, head)


def _draw_dashes(scene: _Scene, color: Color, start: Point, end: Point) -> None:
    """A dashed line."""
    length = math.dist(start, end)
    dashes = max(1, round(length / (10 * scene.zoom)))
    for i in range(dashes):
        low, high = (
            tuple(a + (b - a) * share for a, b in zip(start, end, strict=True))
            for share in (i / dashes, (i + 0.6) / dashes)
        )
        scene.pygame.draw.line(scene.surface, color, low, high, scene.stroke(1.5))


def _write(scene: _Scene, text: str, height: int, color: Color, **place: Sequence[float]) -> None:
    """Write a line with one of its rectangle's points at ``place``, inside the surface.

    The font is created each time, in less than 0.1 ms: using a font after ``pygame.quit()``, which other
    environments call, would crash the process.
    """
    letters = scene.pygame.font.Font(None, height).render(text, True, color)
    box = letters.get_rect(**{name: (round(x), round(y)) for name, (x, y) in place.items()})
    scene.surface.blit(letters, box.clamp(scene.surface.get_rect()))


def _at(base: Point, length: float, angle: float) -> Point:
    """The point at a distance and an angle from the vertical."""
    return base[0] + length * math.sin(angle), base[1] - length * math.cos(angle)
