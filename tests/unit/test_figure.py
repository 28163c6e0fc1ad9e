import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from robustlens.report.figure import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    Drawing,
    apart,
    band,
    drawn,
    label_ends,
    label_points,
    legible,
    save,
    title_and_caption,
)


def drawing():
    figure = Figure(figsize=(2, 2), layout="constrained")
    axes = figure.subplots()
    axes.scatter([0, 1], [1, 0])
    axes.set_title("ΔE(x)")
    return Drawing(figure, "A title", "A caption of ΔE(x).")


def test_save_gives_the_same_bytes_and_keeps_the_caption(tmp_path):
    for folder in ("one", "two"):
        save(drawing(), tmp_path / folder / "f.pdf", tmp_path / folder / "f.png")
    for name in ("f.pdf", "f.png"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert b"CreationDate" not in (tmp_path / "one" / "f.pdf").read_bytes()
    assert title_and_caption(tmp_path / "one" / "f.png") == ("A title", "A caption of ΔE(x).")
    with Image.open(tmp_path / "one" / "f.png") as image:
        assert "Software" not in image.text
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["f.pdf", "f.png"]


def test_an_edge_that_is_at_zero_but_for_rounding_leaves_no_trace_in_the_bytes(tmp_path):
    for name, edge in (("above", 1e-18), ("below", -1e-18)):
        figure = Figure(figsize=(2, 2))
        below = figure.subfigures(2, 1)[1]
        below.bbox_relative.p0 = (0, edge)
        below.subplots().plot([0, 1])
        save(Drawing(figure, "title", "caption"), tmp_path / f"{name}.pdf", tmp_path / f"{name}.png")
    assert (tmp_path / "above.pdf").read_bytes() == (tmp_path / "below.pdf").read_bytes()


def test_a_drawn_label_keeps_its_dollar_signs(tmp_path):
    label = "a $b^^$"  # as a formula it would be an error
    figure = Figure(figsize=(2, 2))
    figure.text(0.5, 0.5, drawn(label))
    save(Drawing(figure, label, label), tmp_path / "f.pdf", tmp_path / "f.png")
    assert [text.get_text() for text in figure.findobj(Text)] == [r"a \$b^^\$"]
    with pytest.raises(ValueError, match="b\\^\\^"):
        figure.text(0.5, 0.2, label)
        save(Drawing(figure, label, label), tmp_path / "f.pdf", tmp_path / "f.png")


def test_a_band_is_one_standard_deviation_about_the_mean_and_absent_for_one_seed():
    axes = Figure().subplots()
    band(axes, np.array([1, 2]), np.array([[0.0, 4.0], [2.0, 4.0]]), BLUE, label="of two")
    (line,), (area,) = axes.lines, axes.collections
    assert list(line.get_ydata()) == [1, 4] and line.get_label() == "of two"
    heights = area.get_paths()[0].vertices[:, 1]
    assert [heights.min(), heights.max()] == pytest.approx([1 - 2**0.5, 4])
    one = Figure().subplots()
    band(one, np.array([1, 2]), np.array([[0.0, 4.0]]), BLUE)
    assert len(one.lines) == 1 and not one.collections


def contrast(colour):
    """To white, by the formula of WCAG 2.1."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(colour)]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


@pytest.mark.parametrize("colour", [BLACK, ORANGE, SKY, GREEN, BLUE, RED, PURPLE, GREY])
def test_text_in_every_colour_can_be_read_on_white(colour):
    assert contrast(legible(colour)) >= 4.5
    assert contrast(colour) < 4.5 or legible(colour) == to_hex(colour)


def test_labels_are_moved_apart_no_further_than_they_must_and_keep_their_order():
    assert apart([5.0, 0.0, 20.0], 4) == [5, 0, 20]
    assert apart([10.0, 11.0, 12.0], 4) == pytest.approx([7, 11, 15])
    assert apart([12.0, 0.0, 11.0], 4) == pytest.approx([13.5, 0, 9.5])
    assert apart([1.0, 1.0], 2) == pytest.approx([0, 2])
    assert apart([], 3) == []


@pytest.mark.parametrize("scale", ["linear", "log"])
def test_the_names_at_the_ends_of_lines_do_not_overlap(scale):
    figure = Figure(figsize=(4, 2), layout="constrained")
    axes = figure.subplots()
    ends = {f"line {number}": (1 + 0.01 * number, BLUE) for number in range(5)}
    for y, _ in ends.values():
        axes.plot([0, 1], [y, y])
    axes.set_yscale(scale)
    axes.set_ylim(0.5, 3)
    label_ends(axes, 1, ends, height=1.6)
    FigureCanvasAgg(figure).draw()
    boxes = [Text.get_window_extent(text) for text in axes.texts]  # without the line to it
    assert [text.get_text() for text in axes.texts] == list(ends)
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])


def test_the_names_of_points_cover_neither_points_nor_each_other():
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    places = {"one": (0.5, 0.5), "two": (0.52, 0.5), "three": (0.5, 0.55), "at the edge": (0.99, 0.5)}
    axes.scatter(*zip(*places.values(), strict=True), s=9)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    label_points(axes, {name: (*place, BLUE) for name, place in places.items()})
    FigureCanvasAgg(figure).draw()
    boxes = {text.get_text(): text.get_window_extent() for text in axes.texts}
    assert list(boxes) == list(places)
    assert not any(one.overlaps(other) for one in boxes.values() for other in boxes.values() if other is not one)
    assert not any(
        box.contains(*axes.transData.transform(place)) for box in boxes.values() for place in places.values()
    )
    frame = axes.get_window_extent()
    assert all(frame.x0 <= box.x0 and box.x1 <= frame.x1 for box in boxes.values())
