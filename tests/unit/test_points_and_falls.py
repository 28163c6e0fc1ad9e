import pandas as pd
import pytest

from robustlens.analysis.claims import NotMeasured
from robustlens.analysis.evaluations import falls, largest, sources, with_points
from robustlens.analysis.measured import differences, of


def rows(checkpoint, seed, right, source, first=0, **more):
    frame = pd.DataFrame({"index": range(first, first + len(right)), "label": 1, "prediction_adversarial": right})
    place = {"dataset": "d", "recipe": "r", "threat": "t", "attack": "pgd", "checkpoint": checkpoint, "seed": seed}
    return frame.assign(**place | {"source": source} | more)


def test_points_are_100_for_an_image_that_is_right():
    assert with_points(rows("best", 0, [1, 0, 1], "a"))["points"].tolist() == [100.0, 0.0, 100.0]


def test_falls_are_of_the_images_that_both_checkpoints_have_and_name_both_files():
    frames = [rows("best", 0, [1, 1, 0], "b0"), rows("last", 0, [0, 1], "l0", first=1), rows("best", 1, [1], "b1")]
    found = falls(with_points(pd.concat(frames)))
    assert found[["seed", "index", "fall"]].to_numpy().tolist() == [[0, 1, 100.0], [0, 2, -100.0]]
    assert sources(found) == ["b0", "l0"]


def test_sources_are_named_once_in_their_order():
    assert sources(pd.DataFrame({"source": ["b", "a", "b"]})) == ["b", "a"]


def test_the_largest_file_of_an_attack_is_kept():
    frames = [
        rows("best", 0, [1, 1], "small"),
        rows("best", 0, [0, 0, 0], "large"),
        rows("last", 0, [1], "last"),
        rows("best", 1, [1], "other-seed"),
        rows("best", 0, [1], "other-attack", attack="fab"),
        rows("best", 0, [1], "other-threat", threat="u"),
    ]
    kept = largest(pd.concat(frames, ignore_index=True))
    assert sources(kept) == ["large", "last", "other-seed", "other-attack", "other-threat"]
    assert len(kept) == 7


def test_what_is_not_there_is_not_measured():
    frame = rows("best", 0, [1, 0], "a")
    assert len(of(frame, recipe="r", checkpoint="best")) == 2
    with pytest.raises(NotMeasured, match="recipe x, checkpoint best"):
        of(frame, recipe="x", checkpoint="best")
    with pytest.raises(NotMeasured, match="split train"):
        of(frame, split="train")
    first, second = with_points(frame), with_points(rows("best", 0, [0], "b", first=1))
    assert differences(first, second, "points").tolist() == [[0.0]]
    with pytest.raises(NotMeasured, match="no seed and image that both"):
        differences(first, second.assign(seed=1), "points")
