"""The arithmetic of the benchmark of scale."""

import pytest
import scale
from report import goals


def found(dry_run=(4.0, 16.0, 46.0), no_op=(4.0, 18.0, 53.0)) -> dict:
    """Three sizes with these seconds of the processor, which was busy with other things half of the time."""
    cases = []
    for jobs, first, second in zip((300, 3000, 10_000), dry_run, no_op, strict=True):
        steps = {"reading": 2.5 + jobs / 10_000, "dry run": first, "no-op": second}
        measured = {
            step: {"seconds": 2 * seconds, "processor_seconds": seconds, "memory_bytes": 2e8}
            for step, seconds in steps.items()
        }
        cases.append({"jobs": jobs, "trainings": jobs // 2, **measured})
    return {"cases": cases}


def reached(measured: dict) -> list[bool | None]:
    return [goal["reached"] for goal in goals([], {"scale": measured}, gpu=False)]


def test_what_a_job_takes_and_how_that_grows():
    assert scale.ms_a_job(found(), "dry run") == pytest.approx([4000 / 300, 16_000 / 3000, 4.6])
    assert scale.ms_a_further_job(found(), "dry run") == pytest.approx([12_000 / 2700, 30_000 / 7000])
    assert scale.growth(found(), "dry run") == pytest.approx((30 / 7000) / (12 / 2700))
    assert scale.growth({"cases": found()["cases"][:2]}, "dry run") is None


def test_a_job_may_take_15_ms_and_a_further_one_no_more_than_the_first_ones():
    assert reached(found()) == [True, True]
    assert reached(found(dry_run=(4.6, 16.0, 46.0))) == [False, True]  # 15.3 ms per job
    assert reached(found(no_op=(4.0, 18.0, 67.0))) == [True, False]  # 5.2 ms, then 7 ms
    assert reached(found(no_op=(4.0, 18.0, 64.0))) == [True, True]  # then 6.6 ms
    assert reached({"cases": found()["cases"][:1]}) == [True, None]


def test_the_table_has_a_row_a_size_and_the_growth_of_each_step():
    lines = scale.table(found()).splitlines()
    assert (
        "| 10,000 | 5,000 | 7.0 s, 3.5 s | 92.0 s, 46.0 s, 4.6 ms | 106.0 s, 53.0 s, 5.3 ms | 200, 200, 200 |" in lines
    )
    assert "* no-op: a further job takes 5.19 ms, then 5.00 ms: 0.96 times as much" in lines
    assert len([line for line in lines if line.startswith("| ")]) == 4
    assert not any("further" in line for line in scale.table({"cases": found()["cases"][:1]}).splitlines())
