"""How much is measured: the targets' own numbers, or less of everything."""

from pathlib import Path

from attrs import evolve, frozen


@frozen
class Plan:
    """The sizes of all measurements.

    `directory` is where the databases go (None: the temporary directory), `peers` and `apscheduler4` are Pythons with
    those that we compare with (None: not measured), `peer_share` is the part of their usual runs that they are given.
    """

    rounds: int = 5
    floors: tuple[str, ...] = ("same", "bare", "alone")
    runs: int = 20_000
    postgres_rounds: int = 3
    peer_rounds: int = 3
    peer_share: float = 1.0
    http_rounds: int = 3
    http_seconds: float = 5.0
    schedules: int = 1_000
    seconds: int = 60
    more_schedules: int = 5_000
    more_seconds: int = 30
    many: int = 1_000_000
    start_rounds: int = 3
    tickers: int = 10
    sleepers: int = 100_000
    sleeper_rounds: int = 3
    outputs: int = 100_000
    output_rounds: int = 3
    simulation_rounds: int = 3
    history: int = 10_000_000
    pruned: int = 100_000
    peers: Path | None = None
    apscheduler4: Path | None = None
    directory: Path | None = None


QUICK = Plan(
    rounds=1,
    postgres_rounds=1,
    peer_rounds=1,
    peer_share=0.1,
    http_rounds=1,
    http_seconds=2.0,
    seconds=5,
    more_schedules=2_000,
    more_seconds=5,
    many=50_000,
    start_rounds=1,
    sleepers=10_000,
    sleeper_rounds=1,
    outputs=20_000,
    output_rounds=1,
    simulation_rounds=1,
    history=50_000,
    pruned=0,
)

CHECK = evolve(
    QUICK, rounds=2, floors=("same",), postgres_rounds=2, output_rounds=2
)  # for CI: ratios to floors, and no others
