"""ImageNet in the class-wise study: not at the paper scale unless it is asked for, and then with a third-party model
instead of trainings."""

import re
from pathlib import Path

import pytest
from flow import copy_of, run

OVERLAY = "studies/classwise/imagenet.yaml"
OF_A_DATASET = ("class-accuracy", "consistency", "stronger-attacks")  # figures
MODEL, PLACE = "salman2020-resnet50", "imagenet/salman2020-resnet50/seed0"


def jobs_of_paper(folder: Path, *overlays: str) -> set[str]:
    """The jobs of the study at the paper scale, each as the place of its log."""
    code, output = run(folder, *overlays, "-n", "-p", "-c2", "--config", "scale=paper", "--", "classwise")
    assert code == 0, output
    logs = re.findall(r"(?:--log|2>) '?results/(?:paper/logs|downloads)/(\S+?)\.log", output)
    assert len(logs) > 400
    return set(logs)


@pytest.fixture(scope="module")
def jobs(sources) -> tuple[set[str], set[str]]:
    """Without and with the overlay, of a checkout in which nobody has put ImageNet."""
    return jobs_of_paper(sources), jobs_of_paper(sources, OVERLAY)


def test_the_paper_scale_does_without_imagenet(jobs):
    assert not [job for job in jobs[0] if "imagenet" in job or MODEL in job]


def test_the_overlay_adds_evaluations_of_the_third_party_model_and_no_training(jobs):
    without, added = jobs
    named = (f"confusion-imagenet-{MODEL}", *(f"{name}-imagenet" for name in OF_A_DATASET))
    figures = {f"studies/classwise/figures/{name}" for name in named}
    assert added - without == {
        *("imagenet/download", f"{MODEL}/download", "data/imagenet", "name_classes/imagenet"),
        *(f"import_model/imagenet/{MODEL}", f"evaluate/{PLACE}/linf-4-255/third-party"),
        *figures,
    }
    assert without <= added


def test_imagenet_that_is_not_there_is_asked_for_by_its_place(snapshot, tmp_path):
    folder, receipt = copy_of(snapshot, tmp_path / "checkout"), "results/downloads/imagenet/receipt.json"
    code, output = run(folder, OVERLAY, "-c1", "--config", "scale=paper", "--", receipt)
    assert code == 1 and "Traceback" not in output
    assert "val: No such file or directory; this dataset can't be downloaded: put it, or a link to it, at " in output
    assert f"{folder}/results/downloads/imagenet/imagenet (val/<wnid>/*.JPEG" in output
