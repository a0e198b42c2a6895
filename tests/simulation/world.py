"""The world of the simulated month: its dice, its tasks, its schedules, and what it saw happen."""

import random
from typing import Any

import trio
from attrs import define, field

from callsheet import Out, Retry, task
from callsheet.instants import DAY, format_instant
from callsheet.timetable import After, Plan
from storage.journal.backfills import Filled
from storage.records import ScheduleRecord

SLOTS = 200  # schedules
MOST_WORK = 6  # runs of `work` at once
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Casablanca")
SELDOM = (  # 200 schedules make a lively month all the same, and 200 months have to fit into a few minutes
    "0 2 * * *", "30 2 * * *", "15 4 * * 1,4", "0 0 * * SUN", "30 2 * * SUN", "30 1 */5 * *", "0 6 1 * *", "0 12 L * *",
    "5 5 * * 1#2", "0 0 15 * *", "59 23 * * 5L", "30 2 29 * *",
)  # fmt: skip
OFTEN = ("0 */4 * * *", "*/20 3,9 * * *", "7 */3 * * *", "30 0 3 * * *")


@define
class Body:
    """One execution of a body, as it saw itself; `ended` None: it was cut off."""

    instance: Any
    task: str
    schedule: str
    attempt: int
    began: float
    ended: float | None = None


@define
class Course:
    """What a schedule planned from one change to the next: due times of `plan` from `first` on, up to `last`."""

    plan: Plan
    first: int | None
    last: int | None = None


@define
class World:
    """The dice, the tasks that throw them, and what really happened."""

    dice: random.Random
    bodies: list[Body] = field(factory=list)
    slugs: list[str] = field(factory=lambda: [f"s{number:03}" for number in range(SLOTS)])
    courses: dict[str, list[Course]] = field(factory=dict)
    extras: dict[str, set[int]] = field(factory=dict)  # due times that were backfilled and that no course had planned
    uncounted: set[str] = field(factory=set)
    limited: set[str] = field(factory=set)
    deleted: set[str] = field(factory=set)
    tasks: list[Any] = field(init=False)
    odd: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        world = self

        @task(retries=Retry(1, backoff="5s..20m"), timeout="3h", max_running=MOST_WORK)
        async def work(_in: str, out: Out[int]) -> None:
            await world.live(_in, out)

        @task(idempotent=True, retries=Retry(2, backoff="1s..60s"))
        async def again(_in: str, out: Out[int]) -> None:
            await world.live(_in, out)

        @task
        async def plain(_in: str, out: Out[int]) -> None:
            await world.live(_in, out)

        @task
        class Tally:
            value: int = 0

            async def __call__(self, _in: str, out: Out[int]) -> None:
                self.value += 1
                await world.live(_in, out)
                await out.send(self.value)

        @task(name="odd")
        async def odd(_in: str, out: Out[int]) -> None:
            await world.live(_in, out)

        @task(name="odd")
        async def odd_otherwise(_in: int, out: Out[int]) -> None:
            await world.live(str(_in), out)

        self.tasks = [work, again, plain, Tally]
        self.odd = [odd, None, odd_otherwise]

    def tasks_of_boot(self, number: int) -> list[Any]:
        """Return the tasks in the code of a boot: one of them goes, comes back, and changes its input."""
        some = self.odd[0 if number == 1 else self.dice.randrange(3)]
        return self.tasks if some is None else [*self.tasks, some]

    async def live(self, schedule: str, out: Out[int]) -> None:
        """Do what a task does."""
        body = Body(out.id, out.task, schedule, out.attempt, trio.current_time())
        self.bodies.append(body)
        fate = self.dice.random()
        try:
            await trio.sleep(self.dice.choice([0, 1, 20, 300, 3000, 30_000]) * self.dice.random())
            if fate < 0.15:
                raise ValueError("bad luck")
            if fate < 0.2:
                raise SystemExit("worse luck")
        finally:
            if fate > 0.9:
                with trio.CancelScope(shield=True):
                    await trio.sleep(self.dice.random())
            body.ended = trio.current_time()

    def documents(self, now: int) -> dict[str, dict[str, Any]]:
        """Return all schedules, in an order in which each can be made."""
        return {slug: self.document(slug, now) for slug in self.slugs}

    def document(self, slug: str, now: int) -> dict[str, Any]:
        """Return a schedule; its number tells its kind, so that it keeps it when it is made again."""
        number = int(slug[1:])
        document = {"task": self._task(number), "input": slug, "trigger": self._trigger(number, now)}
        document["overlap"] = self.overlap(slug)
        document["catch_up"] = self.dice.choice(["latest", "latest", "none", "all"])
        document["catch_up_window"] = self.dice.choice(["1h", "2d"])
        if self.dice.random() < 0.2:
            document["jitter"] = self.dice.choice(["10s", "20m"])
        if self.dice.random() < 0.1:
            document["max_runs"] = self.dice.randint(1, 20)
        if self.dice.random() < 0.1 and "at" not in document["trigger"]:
            document["starts_at"] = format_instant(now + self.dice.randint(1, 5) * DAY)
            document["ends_at"] = format_instant(now + (40 + self.dice.randint(35, 60)) * DAY)
        if self.dice.random() < 0.05:
            document["run_on_create"] = True
        return document

    @staticmethod
    def overlap(slug: str) -> str:
        """Return the overlap policy of a schedule, which it keeps."""
        return ("skip", "skip", "queue", "replace", "allow")[int(slug[1:]) % 5]

    def _task(self, number: int) -> str:
        names = ("work", "again", "plain", "tally", "odd")
        return names[(number // 5) % 5]

    def _trigger(self, number: int, now: int) -> dict[str, Any]:
        dice = self.dice
        if number % 20 == 19:
            return {"after": f"s{number - dice.randint(1, 9):03}", "on": dice.choice(["success", "failure", "any"])}
        if number % 20 == 18:
            return {"at": format_instant(now + dice.randint(1, 25) * DAY + dice.randint(0, 999))}
        if number % 100 == 17:
            return {"cron": dice.choice(OFTEN), "timezone": dice.choice(ZONES)}
        if number % 4 == 1:
            return {"every": dice.randint(24 * 3600, 300 * 3600)}
        return {"cron": dice.choice(SELDOM), "timezone": dice.choice(ZONES)}

    def change(self, slug: str) -> dict[str, Any]:
        """Return a patch."""
        dice = self.dice
        kind = dice.choice(["trigger", "jitter", "catch_up", "tags", "max_runs", "ends_at", "timeout"])
        if kind == "trigger" and int(slug[1:]) % 20 < 17:
            return {"trigger": {"every": dice.randint(6 * 3600, 200 * 3600)}}
        values = {
            "trigger": {"every": "7d"},
            "jitter": dice.choice([0, "5m"]), "catch_up": dice.choice(["latest", "none", "all"]),
            "tags": [f"t{dice.randint(0, 3)}"], "max_runs": dice.choice([None, dice.randint(1, 40)]),
            "ends_at": dice.choice([None, "2026-05-01T00:00:00Z"]), "timeout": dice.choice([None, "1h"]),
        }  # fmt: skip
        return {kind: values[kind]}

    # What was done, and what follows from it for the account

    def note(self, slug: str, record: ScheduleRecord) -> None:
        """Note how a schedule stands after a change: what is due up to `last_due` is settled, and it plans on."""
        if record.paused_until is not None or isinstance(record.definition.trigger, After):
            self.uncounted.add(slug)  # it goes on at a time of its own, or has no due times that could be counted
        if record.definition.max_runs is not None:
            self.limited.add(slug)
        self._note(slug, Course(record.definition.plan, record.next_due), record.last_due)

    def note_deleted(self, slug: str, last_due: int | None) -> None:
        """Note the end of a schedule."""
        self.deleted.add(slug)
        self._note(slug, Course(self.courses[slug][-1].plan, None), last_due)

    def note_backfill(self, slug: str, filled: list[Filled]) -> None:
        """Note which due times were made up for that nobody had planned."""
        extra = {one.due_at for one in filled if one.instance is not None and one.before is None}
        self.extras.setdefault(slug, set()).update(extra)

    def _note(self, slug: str, course: Course, last_due: int | None) -> None:
        courses = self.courses.setdefault(slug, [])
        if courses:
            courses[-1].last = last_due
        courses.append(course)
