"""A minimal service of the usual parts: FastAPI, APScheduler 3, SQLAlchemy on SQLite; its runs survive a crash.

    python benchmarks/peers/fastapi_service.py --port 8080 --database runs.db

`POST /runs` commits a row before it answers and has APScheduler run it; the run commits its outcome; `GET /runs/ID`
reads it. On SQLite with WAL and synchronous=FULL, in one process, as somebody would tune it who knows these parts:

- uvicorn with uvloop and httptools, no access log;
- the row is the durable record, jobs are in APScheduler's memory, and those without an outcome are added again at the
  start: a job store in the database would cost two more commits for each run (`--jobs stored` does that);
- views and jobs are coroutines that call SQLite directly, which takes less than handing over to a thread; with `--views
  threads` FastAPI does that, so that commits need not wait for each other's requests. Both are measured;
- statements of SQLAlchemy Core, compiled once, and a JSONResponse, so that no model is validated twice.
"""

import argparse
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from apscheduler.executors.asyncio import AsyncIOExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from fastapi import FastAPI, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Index,
    MetaData,
    String,
    Table,
    bindparam,
    create_engine,
    event,
    select,
    update,
)

metadata = MetaData()
runs = Table(
    "run",
    metadata,
    Column("id", String, primary_key=True),
    Column("task", String, nullable=False),
    Column("input", String, nullable=False),
    Column("state", String, nullable=False),
    Column("queued_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    Index("run_state", "state", "id"),
)
INSERT = runs.insert()
SELECT = select(runs).where(runs.c.id == bindparam("key"))
END = (
    update(runs)
    .where(runs.c.id == bindparam("key"))
    .values(state="succeeded", started_at=bindparam("started"), finished_at=bindparam("finished"))
)
engine: Engine  # jobs that are stored are found by the name of their function, so it and what it needs are global


class Start(BaseModel):
    """What is asked for."""

    task: str
    input: Any = None


def now() -> int:
    """Give the time in microseconds."""
    return time.time_ns() // 1000


def noop() -> None:
    """Be the body of every run."""


async def execute(key: str) -> None:
    """Perform a run and commit its outcome."""
    started = now()
    noop()
    with engine.begin() as connection:
        connection.execute(END, {"key": key, "started": started, "finished": now()})


def open_engine(path: str) -> Engine:
    """Open the database."""
    opened = create_engine(f"sqlite:///{path}", connect_args={"check_same_thread": False})

    @event.listens_for(opened, "connect")
    def set_up(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")

    metadata.create_all(opened)
    return opened


def start(scheduler: AsyncIOScheduler, wanted: Start) -> JSONResponse:
    """Commit a run, have it run, and answer."""
    key = uuid.uuid4().hex
    row = {"id": key, "task": wanted.task, "input": "null", "state": "queued", "queued_at": now()}
    with engine.begin() as connection:
        connection.execute(INSERT, row)
    scheduler.add_job(execute, args=(key,), misfire_grace_time=None)
    return JSONResponse({"id": key, "state": "queued"}, 202)


def show(key: str) -> JSONResponse:
    """Answer with a run."""
    with engine.connect() as connection:
        row = connection.execute(SELECT, {"key": key}).mappings().first()
    if row is None:
        raise HTTPException(404)
    return JSONResponse(dict(row))


def recover(scheduler: AsyncIOScheduler) -> None:
    """Add the runs again that a crash left without an outcome."""
    with engine.connect() as connection:
        for (key,) in connection.execute(select(runs.c.id).where(runs.c.state == "queued")):
            scheduler.add_job(execute, args=(key,), misfire_grace_time=None)


async def ready() -> JSONResponse:
    """Say that we are up."""
    return JSONResponse({})


def make_app(scheduler: AsyncIOScheduler, *, stored: bool, threads: bool) -> FastAPI:
    """Return the application."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        scheduler.start()
        if not stored:
            recover(scheduler)
        yield
        scheduler.shutdown()

    app = FastAPI(lifespan=lifespan)
    app.get("/runs/{key}")(show if threads else _inline(show))
    app.post("/runs")(_starting(scheduler, threads))
    app.get("/readyz")(ready)
    return app


def _inline(view: Callable[[str], JSONResponse]) -> Any:
    async def inline(key: str) -> JSONResponse:
        return view(key)

    return inline


def _starting(scheduler: AsyncIOScheduler, threads: bool) -> Any:
    def in_thread(wanted: Start) -> JSONResponse:
        return start(scheduler, wanted)

    async def inline(wanted: Start) -> JSONResponse:
        return start(scheduler, wanted)

    return in_thread if threads else inline


def main() -> None:
    """Serve until told to stop."""
    global engine  # noqa: PLW0603 - see above
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--database", required=True)
    parser.add_argument("--jobs", choices=("memory", "stored"), default="memory")
    parser.add_argument("--views", choices=("inline", "threads"), default="inline")
    options = parser.parse_args()
    engine = open_engine(options.database)
    stored = options.jobs == "stored"
    store = SQLAlchemyJobStore(engine=engine) if stored else MemoryJobStore()
    scheduler = AsyncIOScheduler(jobstores={"default": store}, executors={"default": AsyncIOExecutor()})
    app = make_app(scheduler, stored=stored, threads=options.views == "threads")
    uvicorn.run(app, port=options.port, loop="uvloop", http="httptools", access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
