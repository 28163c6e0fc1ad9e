import numpy as np
import pytest

from studies.energy.phases import three_phases


def test_three_phases_finds_the_bends_of_a_bent_line():
    epochs = np.arange(1, 31)
    values = -0.05 * np.minimum(epochs, 8) - 0.2 * np.maximum(epochs - 22, 0)
    phases = three_phases(epochs, values + 1e-4 * np.random.default_rng(3).standard_normal(30))
    assert (phases.first, phases.second) == (8, 22)
    assert phases.slopes == pytest.approx((-0.05, 0.0, -0.2), abs=1e-3)


def test_three_phases_keeps_every_piece_long_enough():
    epochs = np.arange(10)
    phases = three_phases(epochs, np.where(epochs == 9, 1.0, 0.0), shortest=3)
    assert (phases.first, phases.second) == (3, 6)  # the only pair that leaves three steps on each side and between
    assert three_phases(epochs[:9], np.zeros(9), shortest=3) is None


def test_three_phases_without_a_length_takes_15_percent_and_at_least_3_epochs():
    def found(n, first, second):  # in a line that bends at these epochs
        t = np.arange(n)
        phases = three_phases(t, -np.maximum(first - t, 0) - np.maximum(t - second, 0.0))
        return phases and (phases.first, phases.second)

    assert found(40, 6, 33) == (6, 33)  # 15 % of 40 are 6
    assert found(40, 4, 33)[0] == 6 and found(40, 6, 38)[1] == 33
    assert found(16, 3, 12) == (3, 12)  # 15 % of 16 are 2
    assert found(16, 1, 12)[0] == 3


def test_three_phases_needs_ten_pairs_of_bends_to_choose_from():
    line = -np.maximum(np.arange(13.0) - 8, 0)
    assert three_phases(np.arange(13), line) is not None  # 4 + 3 + 2 + 1 pairs
    assert all(three_phases(np.arange(n), line[:n]) is None for n in (3, 6, 10, 12))
