"""The floor counts what it ran, and in the database at that."""

import pytest

from benchmarks import floor


@pytest.mark.parametrize("threaded", [True, False])
def test_the_floor_counts_every_run(tmp_path, threaded):
    result = floor.measure(200, threaded=threaded, directory=tmp_path)
    assert result["runs"] == 200
    assert result["runs_per_second"] == pytest.approx(200 / result["seconds"], rel=0.05)
    assert result["commits"] >= 2, "a run is committed before it starts, and again when it has ended"


def test_the_floor_does_not_call_a_lost_outcome_done(tmp_path, monkeypatch):
    monkeypatch.setattr(floor, "UPDATE", floor.UPDATE + " and 0")
    with pytest.raises(RuntimeError, match="only 0 of 200"):
        floor.measure(200, directory=tmp_path)
