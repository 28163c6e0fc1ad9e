"""A file of another job that was altered or cut short is named by every job that reads it, and nothing is written."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from damage import cut_short, emptied, one_bit, replaced
from flow import ENERGY, RESULTS, THREAT, contents, copy_of, run, sha256, untouched
from kills import EVALUATION, SCIENCE, TABLE, TARGETS, WEIGHTS
from study import TYPESET, Job, Study

from robustlens.errors import RobustlensError
from robustlens.provenance import Certificate

FEW = 5
UNCERTIFIED = {Path("studies/energy/published.yaml"), Path("docs/references.bib")}  # ours to edit
JOBS = (
    "train/digits/sat-no-random/seed0",
    "measure_energies/digits/sat/seed0",
    "fit_generator/digits/gaussian",
    "generate_pool/digits/gaussian",
    f"evaluate/digits/sat/seed0/{THREAT}/robustness",
    "generate/digits/trades/seed0",
    "generate_grid/digits/trades/seed0",
    "reference_features/digits",
    "score/digits/trades/seed0",
    "score/digits/real-images",
    "studies/energy/claims",
    "studies/energy/tables/generation",
    "studies/energy/figures/grid-digits-trades",
    "studies/energy/figures/samples-digits",
    "studies/energy/figures/plane-digits-gif",
    "claims",
    "report",
    *TYPESET,
)
SPLITS = {
    "train/digits/trades/seed0": {"train", "validation"},
    "measure_energies/digits/sat/seed0": {"train"},
    "fit_generator/digits/gaussian": {"train"},
    f"evaluate/digits/sat-no-random/seed0/{THREAT}/brief": {"test"},
    "generate/digits/trades/seed0": {"train"},
    "generate_grid/digits/trades/seed0": {"train"},
    "reference_features/digits": {"test"},
    "score/digits/trades/seed0": {"train"},
    "score/digits/real-images": {"train", "validation"},
}


@contextlib.contextmanager
def damaged(file: Path, damage: Callable[[bytes], bytes]) -> Iterator[None]:
    """Inside, the file is another one; its times are as they were."""
    content, times = file.read_bytes(), file.stat()
    file.write_bytes(damage(content))
    try:
        yield
    finally:
        file.write_bytes(content)
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def one_of_each_kind(job: Job) -> list[Path]:
    """The files that a job reads; where they are many, those of a run by name and of the others one of each folder and
    suffix. The report reads what lies beside the tables and claims that its command names, too."""
    read = set(job.inputs) - UNCERTIFIED
    if job.name == "report":
        named = [path for path in read if path.suffix in (".tex", ".csv") and "studies" in path.parts]
        read |= {path.with_suffix(suffix) for path in named for suffix in (".tex", ".html")}
    if len(read) <= FEW:
        return sorted(read)
    kinds = {(path.parts[2], path.name if path.parts[2] == "runs" else path.suffix): path for path in sorted(read)}
    return list(kinds.values())


def test_every_job_that_reads_files_of_others_is_among_those_that_are_tried(finished):
    assert {job.script for job in finished.jobs} == {finished.job(name).script for name in JOBS} | {"prepare_data"}


@pytest.mark.parametrize("name", JOBS)
def test_a_damaged_file_is_named_with_its_certificate_and_what_to_do(name, finished):
    job, tried = finished.job(name), one_of_each_kind(finished.job(name))
    assert tried
    for file in tried:
        for damage in (cut_short, one_bit, emptied, replaced):
            with damaged(finished.folder / file, damage):
                refused(finished, job, file)


def refused(study: Study, job: Job, file: Path) -> None:
    """The job ends with one message about the file, and what was there before is untouched."""
    log = RESULTS / f"logs/{job.name}.log"
    (study.folder / log).unlink()
    before = untouched(study.results)
    code, output = study.run(job)
    assert code == 1, f"{file} was read"
    (said, where) = output.splitlines()
    assert f"FAILED: {file}: not the file that was made (its SHA-256 differs from {RESULTS}/provenance/" in said
    assert said.endswith("; delete it and run the same command again") and where == f"  log: {log}"
    certificate = Path(said.partition("differs from ")[2].partition(")")[0])
    assert sha256(study.folder / file) != json.loads((study.folder / certificate).read_text())["outputs"][str(file)]
    assert "Traceback" not in (study.folder / log).read_text()
    assert {path: seen for path, seen in untouched(study.results).items() if path != log.relative_to(RESULTS)} == before


@pytest.mark.parametrize("name", SPLITS)
def test_a_job_verifies_the_arrays_that_it_uses_and_no_others(name, finished):
    job, data = finished.job(name), RESULTS / "data/digits"
    made = [
        path
        for path in job.outputs
        if "provenance" not in path.parts and path.name not in ("timing.parquet", "grid.parquet")
    ]
    expected = contents(finished.folder, made)
    for split in ("train", "validation", "test"):
        array = data / f"{split}_labels.npy"
        for path in made if job.script == "evaluate" else ():  # what is there already needs no images
            (finished.folder / path).unlink(missing_ok=True)
        with damaged(finished.folder / array, one_bit):
            code, output = finished.run(job)
        if split in SPLITS[name]:
            assert code == 1 and f"FAILED: {array}: not the file that was prepared" in output, split
            assert output.splitlines()[0].endswith(f"delete {data} and run again to prepare it anew")
        else:
            assert code == 0, output
    assert finished.run(job).code == 0
    assert contents(finished.folder, made) == expected


def test_a_damaged_certificate_is_named_and_what_it_is_of_is_not_read(finished):
    certificate = RESULTS / "provenance/runs/digits/sat/seed0.json"
    for damage in (cut_short, emptied, lambda _: b"[1, 2]", lambda _: b'{"outputs": 3}'):
        with damaged(finished.folder / certificate, damage):
            code, output = finished.run(finished.job(f"evaluate/digits/sat/seed0/{THREAT}/robustness"))
        assert code == 1 and f"FAILED: {certificate}: damaged (" in output
        assert "delete it with the files that it is of and run the same command again" in output


def test_a_missing_page_of_a_table_is_named_with_what_to_do(finished):
    """Snakemake would make it anew, unless it goes while the job starts."""
    page = ENERGY / "tables/phases.html"
    (finished.folder / page).rename(finished.folder / "kept")
    code, output = finished.run(finished.job("report"))
    (finished.folder / "kept").rename(finished.folder / page)
    assert (
        code == 1 and f"FAILED: {page}: can't be read (No such file or directory); delete what else the job" in output
    )


def test_a_certificate_that_is_just_being_written_is_none(tmp_path):
    file = tmp_path / "evaluations/a/brief.parquet"
    for path in (tmp_path / "provenance/evaluations/a/.robustness.json.123.part.json", file):
        path.parent.mkdir(parents=True)
        path.write_text('{"half of a certi')
    assert Certificate({}, [file]).inputs == {str(file): sha256(file)}


def test_results_that_were_moved_keep_their_certificates(tmp_path):
    file, certificate = tmp_path / "runs/a/seed0/best.safetensors", tmp_path / "provenance/runs/a/seed0.json"
    for path, text in (
        (file, "weights"),
        (certificate, '{"outputs": {"results/x/runs/a/seed0/best.safetensors": "0"}}'),
    ):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    with pytest.raises(RobustlensError, match=rf"^{file}: not the file that was made .* differs from {certificate}\)"):
        Certificate({}, [file])


def test_altered_weights_stop_what_depends_on_them_until_they_are_deleted(survivor, one_run, tmp_path):
    """By Snakemake: it runs the evaluation again, because the weights are newer than it, and deletes its old output."""
    folder = copy_of(survivor.study.folder, tmp_path / "checkout")
    (folder / WEIGHTS[0]).write_bytes(one_bit((folder / WEIGHTS[0]).read_bytes()))
    before = untouched(folder / RESULTS)
    code, output = run(folder, survivor.study.overlay, "-c1", *TARGETS)
    assert code == 1 and f"FAILED: {WEIGHTS[0]}: not the file that was made" in output, output
    after = untouched(folder / RESULTS)
    changed = {RESULTS / path for path in before if before[path] != after.get(path)}
    assert all("evaluat" in str(path) for path in changed), changed
    assert not (folder / EVALUATION).exists() and contents(folder, TABLE) == contents(one_run.folder, TABLE)

    (folder / WEIGHTS[0]).unlink()
    code, output = run(folder, survivor.study.overlay, "-c1", *TARGETS)
    assert code == 0, output
    assert contents(folder, SCIENCE) == contents(one_run.folder, SCIENCE)
    shutil.rmtree(folder)
