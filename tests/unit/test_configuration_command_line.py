"""What Snakemake would take from its command line without a word."""

import pytest

from robustlens.configuration.command_line import check
from robustlens.errors import RobustlensError

TWICE = "is there 2 times, and only the last counts; write"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--configfile a.yaml --configfile b.yaml", f"--configfile {TWICE} --configfile FILE FILE ..."),
        ("--configfiles a.yaml -n --configfile=b.yaml", f"--configfile {TWICE} --configfile FILE FILE ..."),
        ("--config a=1 -n -C b=2", f"--config {TWICE} --config KEY=VALUE KEY=VALUE ..."),
        ("energy --config=a=1 --config=b=2", f"--config {TWICE} --config KEY=VALUE KEY=VALUE ..."),
        ("--config scale=tiny scale=pilot", "--config: the key 'scale' occurs twice; join them"),
        ("--config a={b:\t{c:\t1},b:\t{d:\t1}}", "--config a: the key 'b' occurs twice, on line 1; join them"),
        ("--config a={b:\t{c:\t1,c:\t2}} -n", "--config a: the key 'c' occurs twice, on line 1; join them"),
    ],
)
def test_what_would_be_lost_is_refused(arguments, message):
    with pytest.raises(RobustlensError) as error:
        check([argument.replace("\t", " ") for argument in arguments.split(" ")])
    assert str(error.value) == message


@pytest.mark.parametrize(
    "arguments",
    [
        "",
        "energy -n",
        "--configfile a.yaml b.yaml --config scale=tiny target=x -n",
        "--configfile a.yaml -- --configfile",
        "--config a={b:\t{c:\t1},d:\t{c:\t1}} -- a=1",
        "--config a=[1 b={{ c= --resources gpu=1 gpu=2",
        "--config-file-of-mine x --config a=1",
    ],
)
def test_everything_else_is_for_snakemake(arguments):
    check([argument.replace("\t", " ") for argument in arguments.split(" ")])
