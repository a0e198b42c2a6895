"""The log is for people on a terminal and for machines elsewhere, and says the same to both."""

import io
import json
import logging
import sys

import pytest

from callsheet import logs
from callsheet.logs import told


class Terminal(io.StringIO):
    """A stream that is watched."""

    def isatty(self):
        return True


@pytest.fixture
def log():
    """A log of ours; all that `configure` sets is put back."""
    names = ("callsheet", "callsheet.access", "hypercorn.error", "quart.app")
    before = [(one, one.level, one.propagate, list(one.handlers)) for one in map(logging.getLogger, names)]
    yield logging.getLogger("callsheet.test")
    for one, level, propagate, handlers in before:
        one.setLevel(level)
        one.propagate = propagate
        one.handlers[:] = handlers


@pytest.fixture
def listen(monkeypatch, log):
    """Return a function that configures the log and returns the stream it goes to."""

    def listen(log_format, *rest, stream=None, **more):
        monkeypatch.setattr(sys, "stderr", stream or io.StringIO())
        logs.configure(log_format, *rest, **more)
        return sys.stderr

    return listen


def test_a_line_for_machines_has_event_fields_and_node(listen, log):
    stream = listen("json", node="n1")
    log.warning("it stands at %s", "a.py", extra=told("instance.stuck", instance=7, schedule=None, level="odd"))
    line = json.loads(stream.getvalue())

    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "warning", "event": "instance.stuck", "logger": "callsheet.test", "message": "it stands at a.py",
        "node": "n1", "instance": 7,
    }  # fmt: skip


def test_a_line_for_people_is_a_sentence_with_its_fields_behind(listen, log):
    stream = listen("console")
    log.error("one\n  two", extra=told("loop.blocked", seconds=1.23456, where="a b"))

    assert stream.getvalue()[12:] == ' ERROR   loop.blocked: one  seconds=1.235  where="a b"\n  two\n'


def test_a_traceback_is_in_both(listen, log):
    for form in ("json", "console"):
        stream = listen(form)
        try:
            raise ValueError("on purpose")
        except ValueError:
            log.exception("it failed", extra=told("command.failed"))
        assert "ValueError: on purpose" in stream.getvalue()
        assert form == "console" or len(stream.getvalue().splitlines()) == 1


def test_a_terminal_gets_lines_for_people_and_anything_else_json(listen, log):
    people, machines = listen("auto", stream=Terminal()), None
    log.warning("seen")
    machines = listen("auto")
    log.warning("parsed")

    assert people.getvalue().endswith("WARNING callsheet.test: seen\n")
    assert json.loads(machines.getvalue())["event"] == "callsheet.test"


def test_the_level_is_the_least_that_is_logged_and_libraries_are_held_to_warnings(listen, log):
    stream = listen("json", "debug")
    log.debug("ours")
    logging.getLogger("hypercorn.error").info("theirs")
    listen("json", "error")
    log.warning("too little")

    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == ["ours"]


def test_requests_are_logged_only_when_asked_for(listen):
    access = logging.getLogger("callsheet.access")
    listen("json")
    assert not access.isEnabledFor(logging.INFO)
    stream = listen("json", access_log=True)
    access.info("GET / 200", extra=told("http.request", status=200))

    assert json.loads(stream.getvalue())["status"] == 200


def test_what_a_dead_collector_makes_opentelemetry_say_again_and_again_is_logged_once_a_minute(listen):
    stream, theirs = listen("json"), logging.getLogger("opentelemetry.exporter")
    for number in range(5):
        theirs.error("no answer from %s", number)
    theirs.error("something else")

    said = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert said == ["no answer from 0", "something else"]
