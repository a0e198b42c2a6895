import contextvars
import logging
import sys
import threading

import pytest

from callsheet.capture import Pieces, captured, current_pen


class ListPen:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.pieces: list[tuple[str, str]] = []

    def write_line(self, level: str, text: str) -> None:
        self.lines.append((level, text))

    def write_text(self, level: str, text: str) -> None:
        self.pieces.append((level, text))


@pytest.fixture
def pen():
    own = ListPen()
    token = current_pen.set(own)
    yield own
    current_pen.reset(token)


def test_what_an_instance_prints_and_logs_goes_to_its_pen_only_while_captured(pen, capsys):
    log = logging.getLogger("a.task")
    with captured():
        print("in")
        print("err", file=sys.stderr)
        log.info("logged %d", 1)
    print("after")
    log.warning("after")
    assert "".join(text for level, text in pen.pieces if level == "print") == "in\n"
    assert "".join(text for level, text in pen.pieces if level == "stderr") == "err\n"
    assert pen.lines == [("info", "a.task: logged 1")]
    assert capsys.readouterr().out == "after\n"


def test_our_own_log_lines_are_no_task_s(pen):
    with captured():
        logging.getLogger("callsheet.bus").warning("ours")
    assert pen.lines == []


def test_debug_lines_stay_off_unless_they_are_asked_for(pen):
    log = logging.getLogger("chatty.library")
    with captured():
        log.debug("not kept")
        log.setLevel(logging.DEBUG)
        log.debug("kept")
        log.setLevel(logging.NOTSET)
    assert pen.lines == [("debug", "chatty.library: kept")]


def test_all_is_as_before_afterwards(pen):
    root = logging.getLogger()
    before = sys.stdout, sys.stderr, root.level, list(root.handlers)
    with pytest.raises(ValueError, match="odd"), captured():
        raise ValueError("odd")
    assert (sys.stdout, sys.stderr, root.level, list(root.handlers)) == before


def test_without_an_instance_the_streams_are_as_they_were(capsys):
    with captured():
        print("one", end="")
        sys.stdout.writelines([" and ", "two\n"])
        sys.stdout.flush()
        assert sys.stdout.writable()
        assert not sys.stdout.isatty()
        assert sys.stdout.encoding
    assert capsys.readouterr().out == "one and two\n"


def test_a_log_line_of_nobody_is_shown_as_if_nothing_were_captured(capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    with captured():
        logging.getLogger("a.library").info("not shown")
        logging.getLogger("a.library").warning("shown")
    assert capsys.readouterr().err == "shown\n"


def test_a_context_that_is_copied_into_a_thread_takes_the_pen_along(pen):
    with captured():
        thread = threading.Thread(target=contextvars.copy_context().run, args=(print, "from a thread"))
        thread.start()
        thread.join()
        other = threading.Thread(target=contextvars.Context().run, args=(logging.getLogger("x").info, "nobody's"))
        other.start()
        other.join()
    assert "".join(text for _, text in pen.pieces) == "from a thread\n"
    assert pen.lines == []


def test_pieces_become_lines():
    pieces = Pieces(100)
    assert pieces.add("print", "one") == []
    assert pieces.add("print", "") == []
    assert pieces.add("print", " line\nanother\n\n  \nthi") == ["one line", "another"]
    assert pieces.add("stderr", "beside it\n") == ["beside it"]
    assert pieces.rest() == [("print", "thi")]
    assert pieces.rest() == []


def test_a_line_without_end_is_broken_before_it_grows_without_bound():
    pieces = Pieces(10)
    assert pieces.add("print", "12345") == []
    assert pieces.add("print", "67890ab") == ["1234567890ab"]
    assert pieces.rest() == []


def test_threads_do_not_mix_their_pieces():
    pieces = Pieces(100)
    pieces.add("print", "mine ")
    thread = threading.Thread(target=pieces.add, args=("print", "its"))
    thread.start()
    thread.join()
    assert pieces.add("print", "alone\n") == ["mine alone"]
    assert pieces.rest() == [("print", "its")]
