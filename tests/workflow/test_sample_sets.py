"""A recipe that mixes images of a published sample set: its pool is imported, not generated."""

import pytest
from flow import RESULTS, ask, jobs

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
    code, output = ask(sources, str(tmp_path / "overlay.yaml"), "-n", "-p", "-c2", "--", weights)
    assert code == 0, output
    assert jobs(output) == {"data/digits", f"generators/digits/{name}", f"train/digits/{recipe}/seed0"}
    rule = "generate_pool" if name == "gaussian" else "import_pool"
    assert {"generate_pool", "import_pool"} & set(output.split()) == {rule}
    assert (f"results/downloads/{name}/receipt.json" in output) == download
    assert f"results/tiny/generators/digits/{name}/images.npy" in output
