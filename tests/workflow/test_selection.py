"""A recipe that mixes images that are selected from another generator's pool."""

import pytest
from flow import RESULTS, jobs, run

OVERLAY = """
scales:
  tiny:
    generators:
      blind: {family: ddpm, denoiser: mlp, conditional: false, per_class: 5, labelled_by: {recipe: standard}}
      top:
        selected:
          from: gaussian
          share: 0.5
          by: realness
          norm: l2
          epsilon: 0.1
          steps: 4
          batch_size: 16
          architecture: {family: mlp, inputs: 64}
      any-blind: {selected: {from: blind, share: 0.5, by: chance}}
    recipes:
      sat-top: {method: sat, changes: sat, mix: {generator: top, gamma: 0.4}}
      sat-any-blind: {method: sat, changes: sat, mix: {generator: any-blind, gamma: 0.4}}
"""


@pytest.mark.parametrize(
    ("name", "source", "labelled"),
    [("top", "gaussian", set()), ("any-blind", "blind", {"train/digits/standard/seed0"})],
)
def test_the_pool_is_selected_from_that_of_the_other_generator(name, source, labelled, sources, tmp_path):
    (tmp_path / "overlay.yaml").write_text(OVERLAY)
    weights = str(RESULTS / f"runs/digits/sat-{name}/seed0/best.safetensors")
    code, output = run(sources, str(tmp_path / "overlay.yaml"), "-n", "-p", "-c2", "--", weights)
    assert code == 0, output
    made = {f"fit_generator/digits/{source}", f"generate_pool/digits/{source}", f"select_pool/digits/{name}"}
    assert jobs(output) == {"data/digits", *labelled, *made, f"train/digits/sat-{name}/seed0"}
    for folder, file in ((source, "images.npy"), (source, "labels.npy"), (name, "images.npy")):
        assert f"results/tiny/generators/digits/{folder}/{file}" in output


def test_nothing_is_fitted_for_selected_images(sources, tmp_path):
    (tmp_path / "overlay.yaml").write_text(OVERLAY)
    fitted = str(RESULTS / "generators/digits/top/fitted.safetensors")
    code, output = run(sources, str(tmp_path / "overlay.yaml"), "-n", "-c2", "--", fitted)
    assert code == 1 and "Traceback" not in output and f"{fitted}: nothing makes this file at scale" in output
