"""Small animated pictures of episodes side by side."""

import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_COLORS = 64
_INK, _PAPER = (28, 36, 48), (255, 255, 255)


def with_text(image: np.ndarray, text: str, size: int = 15) -> np.ndarray:
    """The image [H, W, 3] uint8 with a line of text on its lower edge."""
    return _with_text(image, text, size, image.shape[0] - size - 8)


def heading(texts: Sequence[str], width: int, height: int = 26) -> np.ndarray:
    """Texts side by side, each amid `width` pixels: [height, texts * width, 3] uint8."""
    blank = np.full((height, width, 3), _PAPER, np.uint8)
    return np.hstack([_with_text(blank, text, 15, 3) for text in texts])


def _with_text(image: np.ndarray, text: str, size: int, top: int) -> np.ndarray:
    picture = Image.fromarray(image)
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(size)
    place = (picture.width / 2, top)
    draw.text(place, text, _INK, font, anchor="ma", stroke_width=3, stroke_fill=_PAPER)
    return np.asarray(picture)


def write_gif(path: pathlib.Path, frames: Sequence[np.ndarray], seconds: float) -> None:
    """Write frames as a GIF that repeats, with one palette of 64 colours.

    Args:
        path: of the file.
        frames: [H, W, 3] uint8 each, one at least.
        seconds: from one frame to the next; GIFs know hundredths.
    """
    some = np.vstack([frames[0], frames[len(frames) // 2], frames[-1]])
    palette = Image.fromarray(some).quantize(_COLORS)
    first, *others = (
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in frames
    )
    duration = max(round(100 * seconds), 2) * 10
    first.save(path, save_all=True, append_images=others, duration=duration, loop=0)
