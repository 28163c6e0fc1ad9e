"""A plan where everything is done needs no PyTorch, which takes longer to import than to answer."""

import subprocess
import sys

from configured import REPOSITORY

from robustlens.planning.nothing import nothing_text, nothing_to_do


def test_a_plan_without_jobs_says_how_many_are_done():
    plan = nothing_to_do("tiny", ["energy", "proxy"], 58)
    assert plan["jobs"] == {} and plan["finished_jobs"] == 58 and plan["estimates"] == []
    assert nothing_text(plan) == "PLAN of scale tiny: snakemake energy proxy\n\nNothing to do: all 58 jobs are done.\n"


def test_the_command_imports_no_heavy_library_before_it_knows_what_is_to_run():
    code = (
        "import runpy, sys\n"
        "try: runpy.run_path('scripts/plan.py', run_name='__main__')\n"
        "except SystemExit: print(sorted({'torch', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", code, "--help"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n") and "--spec" in done.stdout
