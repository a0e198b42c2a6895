"""The whole engine over 200 simulated months, whatever the dice bring: no promise is broken."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

SEEDS = int(os.environ.get("CALLSHEET_SIMULATED_MONTHS", "200"))
MONTH = Path(__file__).with_name("month.py")


@pytest.mark.timeout(3600)
def test_no_month_breaks_a_promise():
    """Each processor plays its share of the seeds; what a broken one prints names the seed that shows it again."""
    shares = os.cpu_count() or 1
    bounds = [SEEDS * number // shares for number in range(shares + 1)]
    plays = [
        subprocess.Popen([sys.executable, str(MONTH), str(first), str(until)], stdout=subprocess.PIPE, text=True)
        for first, until in pairwise(bounds)
    ]
    told = [play.communicate()[0] for play in plays]

    assert [play.returncode for play in plays] == [0] * shares, "\n".join(told)[-8000:]
    assert sum(text.count(" runs, ") for text in told) == SEEDS
