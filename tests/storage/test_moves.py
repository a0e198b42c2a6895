"""Schedules move only as the table of moves says, which is what the documentation shows."""

from callsheet.instants import SECOND, format_instant
from callsheet.lifecycle import SCHEDULE_MOVES
from callsheet.tasks import Registry
from storage.journal.commands import PauseSchedule


def state(bench):
    ((found,),) = bench.rows("SELECT state FROM schedule WHERE id = 's'")
    return found


def test_a_blocked_schedule_whose_last_due_time_comes_is_finished(bench, tasks):
    bench.put(trigger={"at": format_instant(bench.clock.now() + 10 * SECOND)})
    bench.boot(Registry(task for task in tasks.values() if task.name != "noop"))
    before = state(bench)
    bench.claim_after(10)

    assert (before, state(bench)) == ("blocked", "finished")
    assert bench.fates() == [("rejected", 10, 10, 1)]
    assert "finished" in SCHEDULE_MOVES["blocked"]


def test_a_pause_that_runs_out_on_a_trigger_that_fails_leaves_the_schedule_blocked(bench):
    bench.put()
    bench.ask(PauseSchedule("s", until=bench.clock.now() + 10 * SECOND))
    bench.write("""UPDATE schedule SET trigger = '{"cron":"gibberish"}' WHERE id = 's'""")
    before = state(bench)
    bench.claim_after(10)

    assert (before, state(bench)) == ("paused", "blocked")
    assert "blocked" in SCHEDULE_MOVES["paused"]
