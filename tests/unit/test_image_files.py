"""Images are decoded, resized and cut, or refused when damaged."""

import io
import math

import archives
import numpy as np
import pytest
from archives import jpeg
from PIL import Image

from robustlens.data.image_files import pixels
from robustlens.errors import RobustlensError


def png(array, mode=None):
    buffer = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(buffer, "PNG")
    return buffer.getvalue()


def triangle_filter(values, wanted):
    """Antialiased linear interpolation of a row (float64): weights fall to 0 at one pixel of the coarser grid."""
    scale = len(values) / wanted
    reach = max(scale, 1.0)
    out = []
    for place in range(wanted):
        centre = (place + 0.5) * scale
        weights = [max(0.0, 1 - abs(source + 0.5 - centre) / reach) for source in range(len(values))]
        out.append(sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights))
    return np.array(out)


@pytest.mark.parametrize(("height", "width", "resize", "size"), [(13, 20, 8, 6), (20, 13, 8, 8), (9, 14, 12, 11)])
def test_an_image_is_resized_by_its_shorter_side_and_its_centre_cut_out(height, width, resize, size):
    array = archives.noise(height, width, 3)
    scale = resize / min(height, width)
    new_height, new_width = math.floor(height * scale + 1e-9), math.floor(width * scale + 1e-9)
    expected = np.apply_along_axis(triangle_filter, 0, array.astype(float), new_height)
    expected = np.apply_along_axis(triangle_filter, 1, expected, new_width)
    top, left = round((new_height - size) / 2), round((new_width - size) / 2)
    expected = expected[top : top + size, left : left + size].transpose(2, 0, 1)
    found = pixels(png(array), "here", size, resize)
    assert found.shape == (3, size, size) and found.dtype == np.uint8
    assert np.abs(found - expected).max() < 1.5  # Pillow rounds after each direction


def test_grey_palette_and_cmyk_images_become_rgb():
    grey = archives.noise(8, 8)
    assert np.array_equal(pixels(png(grey), "here", 8), np.stack([grey] * 3))
    palette = np.full((8, 8, 3), (255, 0, 51), np.uint8)
    assert pixels(png(palette, "P"), "here", 8).reshape(3, -1).tolist() == [[255] * 64, [0] * 64, [51] * 64]
    assert pixels(jpeg(8, 8, 0, "CMYK"), "here", 8).shape == (3, 8, 8)


def test_an_image_that_is_cut_off_or_none_at_all_is_refused():
    whole = jpeg(64, 64, 0)
    for contents in (whole[: len(whole) // 2], b"", b"<html>", whole[:20]):
        with pytest.raises(RobustlensError, match="here: not a readable image"):
            pixels(contents, "here", 64)
