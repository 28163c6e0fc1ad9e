"""`make compare`: the tables and claims of a run against the recorded ones."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "compare_recorded.py"
HEADER = "group,row,column,value,std,n_seeds,n_images,unit,published,published_source,files,low,high,text\n"
CLEAN = "main,SAT,clean,95.12345679,0.5,3,1397,%,90,paper,a.parquet;b.parquet,,,\n"
PGD = "main,SAT,PGD,54,,1,1397,%,,,c.parquet,50,58,\n"
EMPTY = "main,MART,PGD,,,,,%,,,,,,\n"
LEDGER = "dataset,id,statement,source,verdict,why_open,estimate,low,high,unit,times_n,rule,measurement,files\n"
CLAIMS = ',energy-falls,"It falls, they say",section 1,supported,,1.5,1,2,nat,,Above 0.,Measured: so.,a.parquet\n'


class Run:
    """Results of one study below a folder, and the command there."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.write("tables/robustness", HEADER + CLEAN + PGD + EMPTY)
        self.write("claims", LEDGER + CLAIMS)

    def write(self, name: str, text: str) -> None:
        file = self.folder / f"results/embedded/studies/light/{name}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def compare(self, *arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, str(SCRIPT), *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(tmp_path)


@pytest.fixture
def recorded(run) -> Run:
    assert run.compare("--record") == (0, "", "")
    return run


def test_what_is_recorded_is_small_and_equal_to_itself(recorded):
    assert (recorded.folder / "docs/recorded/embedded.csv").read_text().splitlines() == [
        "study,table,group,row,column,value,std,n_seeds,n_images,low,high,text",
        "light,claims,,energy-falls,verdict,,,,,,,supported",
        "light,claims,,energy-falls,estimate,1.5,,,,1,2,",
        "light,claims,,energy-falls,rule and measurement,,,,,,,Above 0. Measured: so.",
        "light,robustness,main,SAT,clean,95.12345679,0.5,3,1397,,,",
        "light,robustness,main,SAT,PGD,54,,1,1397,50,58,",
    ]
    said = "All 5 cells of results/embedded are those of docs/recorded/embedded.csv.\n"
    assert recorded.compare() == (0, said, "")


def test_other_files_published_numbers_and_statements_are_no_differences(recorded):
    other = CLEAN.replace("a.parquet", "z.parquet").replace("90,paper", "91,another")
    recorded.write("tables/robustness", HEADER + other + PGD + EMPTY)
    recorded.write("claims", LEDGER + CLAIMS.replace("they say", "we say"))
    assert recorded.compare()[0] == 0


def test_every_value_that_differs_is_named_with_both(recorded):
    pgd = PGD.replace("54,,1", "54,,2").replace(",50,58", ",,58")
    recorded.write("tables/robustness", HEADER + CLEAN.replace("679", "678") + pgd)
    recorded.write("claims", LEDGER + CLAIMS.replace("supported", "open"))
    code, output, said = recorded.compare()
    assert code == 1 and output.splitlines() == [
        "light/claims: energy-falls, verdict: text open, recorded supported",
        "light/robustness: main, SAT, clean: value 95.12345678, recorded 95.12345679",
        "light/robustness: main, SAT, PGD: n_seeds 2, recorded 1",
        "light/robustness: main, SAT, PGD: low none, recorded 50",
    ]
    assert said.startswith("4 differences from docs/recorded/embedded.csv")


def test_cells_that_are_missing_or_new_are_named(recorded):
    recorded.write("tables/robustness", HEADER + CLEAN + EMPTY.replace("PGD,", "PGD,40"))
    code, output, _ = recorded.compare()
    assert code == 1 and output.splitlines() == [
        "light/robustness: main, SAT, PGD: not here",
        "light/robustness: main, MART, PGD: not recorded",
    ]


def test_without_a_record_or_without_results_one_line_says_what_makes_them(run, tmp_path):
    assert run.compare() == (
        1,
        "",
        "docs/recorded/embedded.csv: nothing is recorded; `make readme` records the results of a finished run\n",
    )
    said = "results/nothing: no tables; run `make reproduce` first\n"
    assert run.compare("--results", "results/nothing", "--record") == (1, "", said)
    assert not (tmp_path / "docs").exists()
