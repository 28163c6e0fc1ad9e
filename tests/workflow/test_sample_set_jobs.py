"""A recipe that mixes images of a published sample set: its pool is imported, not generated."""

import pytest
from flow import RESULTS, jobs, run

OVERLAY = """
scales:
  tiny:
    generators:
      theirs:
        sample_set:
          layout: raw
          file: images.bin
          bytes: 6400
          sha256: SHA
          labels_file: {file: labels.npy, sha256: SHA}
        per_class: 5
      pictures: {sample_set: {layout: folder, folder: pictures}}
    recipes:
      sat-theirs: {method: sat, changes: sat, mix: {generator: theirs, gamma: 0.4}}
      sat-pictures: {method: sat, changes: sat, mix: {generator: pictures, gamma: 0.4}}
"""


@pytest.mark.parametrize(("name", "download"), [("theirs", True), ("pictures", False), ("gaussian", False)])
def test_the_pool_of_a_recipe_s_mix_is_imported_or_generated(name, download, sources, tmp_path):
    (tmp_path / "overlay.yaml").write_text(OVERLAY.replace("SHA", "ab" * 32))
    recipe = {"gaussian": "sat-mixed"}.get(name, f"sat-{name}")
    weights = str(RESULTS / f"runs/digits/{recipe}/seed0/best.safetensors")
    code, output = run(sources, str(tmp_path / "overlay.yaml"), "-n", "-p", "-c2", "--", weights)
    assert code == 0, output
    rules = {"fit_generator", "generate_pool"} if name == "gaussian" else {"import_pool"}
    pool = {f"{rule}/digits/{name}" for rule in rules}
    assert jobs(output) == {"data/digits", *pool, f"train/digits/{recipe}/seed0"}
    assert (f"results/downloads/{name}/receipt.json" in output) == download
    assert f"results/tiny/generators/digits/{name}/images.npy" in output


def test_nothing_is_fitted_to_a_published_set(sources, tmp_path):
    (tmp_path / "overlay.yaml").write_text(OVERLAY.replace("SHA", "ab" * 32))
    fitted = str(RESULTS / "generators/digits/theirs/fitted.safetensors")
    code, output = run(sources, str(tmp_path / "overlay.yaml"), "-n", "-c2", "--", fitted)
    assert code == 1 and "Traceback" not in output and f"{fitted}: nothing makes this file at scale" in output
