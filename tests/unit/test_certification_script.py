"""The jobs of a certification as they run: whole, in parts that are joined, and killed."""

import json
import re
import signal
from pathlib import Path

import pandas as pd
import pytest
import torch
from processes import Child, run_script, until
from tiny import SPEC as RUN
from tiny import dataset

from robustlens.models.weights import build, save_weights

pytestmark = pytest.mark.slow

SMOOTHING = {"sigma": 0.25, "first_draws": 20, "draws": 180, "alpha": 0.001, "clip": True}
SPEC = {name: RUN[name] for name in ("dataset", "recipe", "seed", "architecture")} | {
    "certification": {"name": "own", "family": "smoothing", "parameters": SMOOTHING},
    "checkpoint": "best",
    "images": 30,
    "shard": 1,
    "shards": 1,
    "batch_size": 50,
    "code": "0123456789ab",
}  # blocks of three images


class House:
    def __init__(self, folder: Path):
        self.folder = folder
        dataset(folder / "data")
        torch.manual_seed(0)
        save_weights(build(SPEC["architecture"], 1, 10).state_dict(), folder / "best.safetensors")

    def start(self, script: str, part: str, spec: dict, *arguments: str) -> Child:
        given = ["--spec", json.dumps(spec), "--log", f"logs/{part}.log", "--table", f"certified/{part}.parquet"]
        given += ["--certificate", f"provenance/certified/{part}.json", *arguments]
        return Child(self.folder / f"{part}.out", run_script, script, given, self.folder)

    def certify(self, part: str, **changes) -> Child:
        places = ["--data", "data", "--weights", "best.safetensors", "--state", "state", "--save-every", "0"]
        return self.start("certify", part, SPEC | changes, *places)

    def done(self, child: Child) -> str:
        code, output = child.wait()
        assert code == 0, output
        return output

    def bytes(self, part: str) -> bytes:
        return (self.folder / f"certified/{part}.parquet").read_bytes()

    def record(self, part: str) -> dict:
        return json.loads((self.folder / f"provenance/certified/{part}.json").read_text())


@pytest.fixture(scope="module")
def house(tmp_path_factory) -> House:
    made = House(tmp_path_factory.mktemp("certified"))
    made.said = made.done(made.certify("own"))
    return made


def test_a_job_writes_a_row_per_image_and_a_certificate_of_where_they_are_from(house):
    table = pd.read_parquet(house.folder / "certified/own.parquet")
    assert len(table) == 30 and table["index"].is_monotonic_increasing
    assert re.search(
        r"30 images x \(20 \+ 180\) draws are 6000 forward passes, about \d+ s \(50 of them take", house.said
    )
    record = house.record("own")
    assert record["parameters"] == SPEC and list(record["outputs"]) == ["certified/own.parquet"]
    assert record["inputs"].keys() == {"data/sheet.json", "best.safetensors"} and len(record["devices"]) == 1
    assert list((house.folder / "state").iterdir()) == []
    assert "block 10/10, ETA 0:00:00" in (house.folder / "logs/own.log").read_text()


def test_the_joined_tables_of_several_jobs_are_the_table_of_one(house):
    for number in (1, 2):
        house.done(house.certify(f"own.{number}-of-2", shard=number, shards=2))
    parts = [f"certified/own.{number}-of-2.parquet" for number in (1, 2)]
    house.done(house.start("join_certified", "joined", {"code": "x"}, "--parts", *parts))
    assert house.bytes("joined") == house.bytes("own") and len(house.bytes("own.1-of-2")) < len(house.bytes("own"))
    assert list(house.record("joined")["inputs"]) == parts


def test_a_job_that_was_killed_resumes_after_its_last_block_and_leaves_the_same_bytes(house):
    slow = {"images": 12, "certification": SPEC["certification"] | {"parameters": SMOOTHING | {"draws": 9_980}}}
    house.done(house.certify("whole", **slow))
    child = house.certify("killed", **slow)
    until(lambda: "block 2/12" in (log.read_text() if (log := house.folder / "logs/killed.log").exists() else ""))
    child.signal(signal.SIGKILL)
    assert child.wait()[0] == -signal.SIGKILL and not (house.folder / "certified/killed.parquet").exists()
    assert [file.suffix for file in sorted((house.folder / "state").iterdir())] == [".blocks", ".lock"]
    house.done(house.certify("killed", **slow))
    log = (house.folder / "logs/killed.log").read_text()
    done = int(re.search(r"(\d+) batches were done before", log)[1])
    assert 2 <= done < 12 and f"block {done + 1}/12" in log and f"block {done}/12" not in log
    assert house.bytes("killed") == house.bytes("whole") and list((house.folder / "state").iterdir()) == []


def test_a_part_that_was_altered_is_not_joined(house, tmp_path):
    house.done(house.certify("altered.1-of-2", shard=1, shards=2))
    file = house.folder / "certified/altered.1-of-2.parquet"
    file.write_bytes(file.read_bytes() + b" ")
    code, output = house.start("join_certified", "spoilt", {"code": "x"}, "--parts", str(file)).wait()
    assert code == 1 and "altered.1-of-2.parquet: not the file that was made" in output
