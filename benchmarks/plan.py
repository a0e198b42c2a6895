"""How much is measured: the targets' own numbers, or less of everything."""

from pathlib import Path

from attrs import frozen


@frozen
class Plan:
    """The sizes of all measurements; `directory` is where the databases go (None: the temporary directory)."""

    rounds: int = 5
    runs: int = 20_000
    rival_runs: int = 500
    schedules: int = 1_000
    seconds: int = 30
    many: int = 100_000
    tickers: int = 10
    sleepers: int = 10_000
    rival_python: str | None = None
    directory: Path | None = None


QUICK = Plan(rounds=1, rival_runs=50, seconds=5, many=5_000)
