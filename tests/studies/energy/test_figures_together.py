from dataclasses import replace

import pytest
from figure_results import (
    NO_HIGH,
    SAT,
    SETTINGS,
    context,
    measured,
    write_bent_histories,
    write_class_scores,
    write_grid,
    write_images,
    write_subsets,
    write_tracked,
)
from matplotlib.text import Text
from synthetic import write_study

from robustlens.report.escape import latex
from robustlens.report.figure import HIGHEST, SMALLEST, TEXT_WIDTH, save
from studies.energy.figures import (
    attacks,
    class_distances,
    correlation,
    delta,
    grid,
    phases,
    plane,
    samples,
    subsets,
    violins,
    weight,
)

BUILDERS = {
    "attacks": attacks,
    "class-distances": class_distances,
    "correlation": correlation,
    "delta": delta,
    "grid": grid,
    "phases": phases,
    "plane": plane,
    "samples": samples,
    "subsets": subsets,
    "violins": violins,
    "weight": weight,
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """{figure: its named inputs}."""
    folder = tmp_path_factory.mktemp("results")
    study = write_study(folder, recipes=("standard", "sat", "trades", "mart", "weat-adv"), seeds=(0, 1), epochs=24)
    history = write_bent_histories(folder / "bent", "sat", [(5, 15), (6, 16)])
    fewer = write_subsets(folder / "subsets", {"sat": SAT, "sat-no-high": NO_HIGH})
    return {
        "attacks": {"evaluations": study.attack_energies},
        "class-distances": {"scores": write_class_scores(folder / "scores", {"sat": [{"0": 1.0, "1": 4.0}]})},
        "correlation": {"history": study.history},
        "delta": {"main": study.history[:-4], "further": study.history[-4:]},
        "grid": write_grid(folder / "grid", SETTINGS),
        "phases": {"history": history},
        "plane": {"energies": write_tracked(folder / "tracked", "sat", (1, 6, 20)), "history": history},
        "samples": {"samples": study.samples[::2], "scores": study.scores, "data": [write_images(folder)]},
        "subsets": {"energies": [measured(folder)], "evaluations": fewer},
        "violins": {"evaluations": study.robustness},
        "weight": {"energies": [path for path in study.energies if "/weat-adv/" in path.as_posix()]},
    }


@pytest.mark.parametrize("name", BUILDERS)
def test_latex_can_print_what_a_figure_says(inputs, name):
    drawing = BUILDERS[name].build(context(), **inputs[name])
    assert latex(drawing.title) and latex(drawing.caption)
    assert drawing.caption.endswith("no evidence about CIFAR-10.")


IN_CAPTIONS_ALONE = ("grid",)  # these say recipes and attacks nowhere else


@pytest.mark.parametrize("name", BUILDERS)
def test_a_dollar_sign_in_a_label_is_drawn_as_it_is(inputs, tmp_path, name):
    plain, sign = context(), " $b^^$"  # as a formula it would be an error
    told = context(
        datasets={"digits": f"digits{sign}"},
        recipes={key: replace(recipe, label=recipe.label + sign) for key, recipe in plain.recipes.items()},
        attacks={key: label + sign for key, label in plain.attacks.items()},
    )
    drawing = BUILDERS[name].build(told, **inputs[name])
    save(drawing, tmp_path / "f.pdf", tmp_path / "f.png")
    texts = [text.get_text() for text in drawing.figure.findobj(Text)]
    assert any(r"\$b^^\$" in text for text in texts) == (name not in IN_CAPTIONS_ALONE)
    assert f"digits{sign}" in drawing.caption
    if name == "plane":
        plane.animate(told, energies=inputs[name]["energies"], gif=tmp_path / "plane.gif")


@pytest.mark.parametrize("name", BUILDERS)
def test_a_figure_fits_a_page_at_its_own_size_and_its_text_can_be_read(inputs, name):
    figure = BUILDERS[name].build(context(), **inputs[name]).figure
    width, height = figure.get_size_inches()
    assert width <= TEXT_WIDTH and height <= HIGHEST
    assert min(text.get_fontsize() for text in figure.findobj(Text) if text.get_text()) >= SMALLEST


@pytest.mark.parametrize("name", ["plane", "violins", "grid", "correlation", "attacks"])
def test_a_figure_drawn_anew_has_the_same_bytes(inputs, tmp_path, name):
    for folder in ("one", "two"):
        drawing = BUILDERS[name].build(context(), **inputs[name])
        save(drawing, tmp_path / folder / "f.pdf", tmp_path / folder / "f.png")
    for file in ("f.pdf", "f.png"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
