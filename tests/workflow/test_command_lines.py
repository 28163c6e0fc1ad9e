"""The command lines that a user of Snakemake types."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml
from flow import (
    ENERGY,
    NOTHING,
    REPOSITORY,
    RESULTS,
    THREAT,
    TINY,
    Outcome,
    command_line,
    copy_of,
    edit,
    files,
    pending,
    run,
    untouched,
)
from processes import Child

TOOLS = Path(sys.executable).parent
SUITES = ("robustness.json", "brief.json", "attack-energies.json")
TABLE = str(ENERGY / "tables/robustness.tex")


@pytest.fixture(scope="module")
def done(finished, tmp_path_factory) -> Path:
    """A copy of the finished checkout for commands that only look."""
    return copy_of(finished, tmp_path_factory.mktemp("commands") / "tree")


@pytest.mark.parametrize("targets", [(), ("all",), ("energy",), (TABLE,), ("--touch",)])
def test_with_everything_there_no_target_has_anything_to_do(targets, done):
    code, output = run(done, "-n", "-c2", *targets)
    assert code == 0 and NOTHING in output, output


def test_the_study_s_target_makes_its_tables_figures_and_claims_and_no_report(sources):
    asked = pending(sources, "energy")
    assert {"studies/energy/claims", "studies/energy/figures/delta-digits", "train/digits/standard/seed1000"} <= asked
    assert not {job for job in asked if job.startswith(("report", "configuration"))}


def test_a_table_alone_asks_for_what_it_needs(sources):
    runs = {f"digits/{recipe}/seed{seed}" for recipe in ("sat", "trades", "weat-adv") for seed in (0, 1)}
    further = {f"digits/{recipe}/seed0" for recipe in ("gairat", "trades-awp")}
    expected = {f"train/{run}" for run in runs | further}
    expected |= {f"evaluate/{run}/{THREAT}/robustness" for run in runs} | {
        f"evaluate/{run}/{THREAT}/brief" for run in further
    }
    assert pending(sources, TABLE) == expected | {"data/digits", "studies/energy/tables/robustness"}


@pytest.mark.parametrize("scale", yaml.safe_load((REPOSITORY / "config.yaml").read_text())["scales"])
def test_a_dry_run_of_every_scale_needs_no_results(scale, sources):
    code, output = run(sources, "-n", "-c2", "--config", f"scale={scale}")
    assert code == 0 and "compile_report" in output and f"results/{scale}/" in output, output
    assert not (sources / "results").exists()


def on_two_gpus(folder: Path, devices: Path, arguments: list[str]) -> None:
    """The command line on a machine with such device files, started by something that trains in eight processes."""
    os.devnull = str(devices / "null")
    os.environ.update(RANK="3", LOCAL_RANK="3", WORLD_SIZE="8", LOCAL_WORLD_SIZE="8")
    command_line(folder, [*TINY, "--quiet", "reason", "-c1", *arguments])


@pytest.fixture
def fresh(sources, tmp_path) -> Path:
    """A checkout of the test's own, beside such device files."""
    for name in ("nvidia0", "nvidia1", "nvidiactl", "null"):
        (tmp_path / name).touch()
    return copy_of(sources, tmp_path / "tree")


def with_gpus(fresh: Path, *arguments: str) -> Outcome:
    return Outcome(*Child(fresh.parent / "output", on_two_gpus, fresh, fresh.parent, [*arguments]).wait())


def jobs_on_gpus(output: str) -> str | None:
    """How many of them may run at the same time, by what Snakemake says of a run."""
    told = re.search(r"^Provided resources: .*gpu\D+(\d+)", output, re.MULTILINE)
    return told and told[1]


def test_each_gpu_gets_a_job_and_no_job_takes_part_in_somebody_s_training(fresh):
    run = RESULTS / "runs/digits/sat/seed0/last.safetensors"
    code, output = with_gpus(fresh, str(run), "--config", "arithmetic=native")
    assert code == 0 and (fresh / run).exists(), output
    assert jobs_on_gpus(output) == "2"


@pytest.mark.parametrize(
    ("arguments", "count"), [(("arithmetic=native", "--resources", "gpu=1"), "1"), (("arithmetic=portable",), None)]
)
def test_another_number_of_them_may_be_asked_for_and_portable_arithmetic_has_none(arguments, count, fresh):
    sheet = RESULTS / "data/digits/sheet.json"
    code, output = with_gpus(fresh, str(sheet), "--config", *arguments)
    assert code == 0 and (fresh / sheet).exists(), output
    assert jobs_on_gpus(output) == count


def test_a_wrong_number_of_jobs_per_gpu_is_refused_in_one_line(fresh, monkeypatch):
    monkeypatch.setenv("ROBUSTLENS_JOBS_PER_GPU", "two")
    code, output = with_gpus(fresh, "-n", "--config", "arithmetic=native")
    assert code == 1 and output.splitlines()[-1].startswith("ROBUSTLENS_JOBS_PER_GPU: must be a whole number from 1")
    assert "Traceback" not in output


def test_lint_finds_nothing(sources):
    code, output = run(sources, "--lint")
    assert code == 0, output


def test_summary_calls_everything_up_to_date(done):
    code, output = run(done, "--summary")
    lines = [line.split("\t") for line in output.splitlines() if line.startswith("results/")]
    assert code == 0 and len(lines) > 100
    assert {tuple(line[-2:]) for line in lines} == {("ok", "no update")}


def test_rulegraph_draws_every_rule_that_runs(done):
    code, output = run(done, "--rulegraph")
    rules = re.findall(r"^rule (\w+):", "\n".join(path.read_text() for path in (done / "rules").glob("*.smk")), re.M)
    graph = output[output.index("digraph") :]
    # Not asked for here.
    others = {"plan", "download", "import_model", "fit_generator", "generate_pool", "import_pool", "select_pool"}
    others |= {"correct", "former_layout", "targets", "unknown"}
    others |= {"certify", "join_certified", "evaluate_shard"}
    assert code == 0 and {*rules, "evaluate"} - others == set(re.findall(r'label = "(\w+)"', graph)) - {"all"}


@pytest.mark.parametrize("what", ["code", "input"])
def test_list_changes_names_nothing_when_nothing_changed(what, done):
    code, output = run(done, "--list-changes", what)
    assert code == 0 and "results/" not in output


def test_list_changes_of_the_parameters_names_the_weights_of_a_recipe_that_was_changed(tree):
    edit(tree / "config.yaml", "trades, beta: 6.0", "trades, beta: 5.0")
    code, output = run(tree, "--list-changes", "params")
    assert code == 0 and f"{RESULTS}/runs/digits/trades/seed0/best.safetensors" in output
    assert "sat/seed0/best.safetensors" not in output


def test_delete_all_output_would_delete_every_artefact_and_as_a_dry_run_deletes_none(done):
    before = untouched(done / RESULTS)
    code, output = run(done, "--delete-all-output", "-n", "-c1")
    named = set(re.findall(r"^Would delete (\S+)$", output, re.MULTILINE))
    kept = ("logs", "benchmarks", "state")
    of_suites = {path for path in files(done / RESULTS) if path.name in SUITES}
    artefacts = {
        path
        for path in files(done / RESULTS)  # evaluations are no outputs: another suite may use them (rules/evaluate.smk)
        if path.parts[0] not in kept and ("evaluations" not in path.parts or path in of_suites)
    }
    assert code == 0 and of_suites
    assert named >= {str(RESULTS / path) for path in artefacts}
    assert untouched(done / RESULTS) == before


def test_touch_accepts_results_of_other_code(tree):
    edit(tree / "studies/energy/tables/energies.py", "Mean marginal", "Average marginal")
    assert "studies/energy/tables/energies" in pending(tree)
    code, output = run(tree, "--touch", "-c1")
    assert code == 0, output
    assert pending(tree) == set()


def test_unlock_of_a_folder_that_is_not_locked_is_no_error(done):
    code, output = run(done, "--unlock")
    assert code == 0, output


def test_snakemake_s_own_report_holds_the_documents_and_the_figures(tree):
    code, output = run(tree, "--report", "report.zip")
    assert code == 0, output
    with zipfile.ZipFile(tree / "report.zip") as archive:
        names = {Path(name).name for name in archive.namelist()}
    assert {"report.html", "phases-digits.png", "samples-digits.png"} <= names


@pytest.mark.parametrize("command", [
    ("snakefmt", "--check", "Snakefile", "rules", "studies"),
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
])  # fmt: skip
def test_the_formatters_and_linters_have_nothing_to_say(command, sources):
    done = subprocess.run([TOOLS / command[0], *command[1:]], cwd=sources, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def imported_modules() -> set[str]:
    """What the Snakefile and its rules import besides the standard library."""
    modules = set()
    for file in [REPOSITORY / "Snakefile", *(REPOSITORY / "rules").glob("*.smk")]:
        for line in re.findall(r"^ *(?:import|from) .+$", file.read_text(), re.MULTILINE):
            statement = ast.parse(line.strip()).body[0]
            if isinstance(statement, ast.ImportFrom):
                modules |= {statement.module}
                if statement.module == "robustlens":
                    modules |= {f"robustlens.{alias.name}" for alias in statement.names}
            else:
                modules |= {alias.name for alias in statement.names}
    return {name for name in modules if name.partition(".")[0] not in sys.stdlib_module_names}


def test_parsing_the_workflow_imports_no_heavy_library_by_our_code():
    """The SLURM executor's own imports are not ours to choose."""
    ours = {name for name in imported_modules() if name.startswith("robustlens")}
    assert "robustlens.configuration" in ours
    assert {name.partition(".")[0] for name in imported_modules()} <= {"robustlens", "snakemake"}
    heavy = {"torch", "numpy", "pandas", "scipy", "sklearn", "matplotlib", "pyarrow"}
    code = f"import sys, {', '.join(sorted(ours))}; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_second_configfile_is_refused_where_the_first_would_be_lost(sources):
    code, output = run(sources, "--configfile", "tests/tiny.yaml", "-n")  # after the one that is always there
    message = "--configfile is there 2 times, and only the last counts; write --configfile FILE FILE ..."
    assert code == 1 and output.splitlines()[-1] == message


def test_targets_lists_what_studies_and_rules_declare_with_a_sentence_each_and_makes_nothing(sources):
    code, output = run(sources, "-c2", "targets")
    listed = dict(re.findall(r"^(\S+) {2,}(\S.*)$", output, re.MULTILINE))
    assert code == 0, output
    assert listed[TABLE] == "Clean and robust accuracy" and listed["all"] == f"Everything of scale {RESULTS.name}"
    assert {"energy", "plan", f"{RESULTS}/report.html", f"{ENERGY}/claims.tex"} <= listed.keys()
    assert listed[f"{ENERGY}/figures/plane-digits.gif"]
    assert not (sources / "results").exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (f"{RESULTS}/reprt.html", f"did you mean {RESULTS}/report.html?"),
        (f"{RESULTS}/runs/digits/tradse/seed0/history.parquet", f"did you mean {RESULTS}/runs/digits/trades/seed0/"),
        ("results/paper/report.html", "add --config scale=paper"),
    ],
)
def test_a_misspelt_file_is_answered_with_the_nearest_one(asked, said, sources):
    code, output = run(sources, "-n", asked)
    assert code == 1 and said in output and "MissingRuleException" not in output, output


def test_after_a_single_target_the_last_words_name_it_and_no_report(tree):
    (tree / TABLE).unlink()
    code, output = run(tree, "-c1", TABLE)
    assert code == 0 and f"\nMade: {TABLE}\n" in output and "The report:" not in output, output


def test_a_recipe_that_is_added_to_no_cohort_is_named_and_the_dry_run_stays_short(tree):
    (tree / "mine.yaml").write_text("recipes:\n  mine: {method: trades, beta: 12, changes: trades, label: Mine}\n")
    code, output = run(tree, "mine.yaml", "-n")
    assert code == 0 and "Defined, but in no cohort, so not trained: mine, " in output, output
    main = {"recipes": ["sat", "trades", "mine"]}
    overlay = {"scales": {RESULTS.name: {"studies": {"energy": {"cohorts": {"main": main}}}}}}
    (tree / "cohorts.yaml").write_text(yaml.safe_dump(overlay))
    code, output = run(tree, "mine.yaml", "cohorts.yaml", "-n")
    assert code == 0 and "not trained: mine" not in output and "Params have changed" in output, output
    assert max(map(len, output.splitlines())) < 1000


def test_the_report_is_typeset_by_the_tectonic_of_make_once_it_has_its_files(sources, monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))  # without the machine's LaTeX
    tools = sources / ".tools/bin"
    tools.mkdir(parents=True)
    (tools / "tectonic").touch(mode=0o755)

    def typesets() -> bool:
        code, output = run(sources, "-n", "-c1")
        assert code == 0, output
        return "Typeset the report" in output

    assert not typesets()
    (tools / "tectonic.ready").touch()
    assert typesets()
    shutil.rmtree(sources / ".tools")
    assert not typesets()
