import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from robustlens.report.figure import BLUE, Drawing, band, drawn, save, title_and_caption


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
