import threading
import time
from itertools import pairwise
from uuid import UUID

from callsheet.ids import IdMaker, lowest_id
from callsheet.instants import HOUR, SECOND, parse_instant

NOW = parse_instant("2026-11-23T12:00:00.123456Z")


def test_an_id_is_a_uuid_of_version_7_that_knows_its_time_of_birth():
    made = IdMaker().make(NOW)
    assert made.version == 7
    assert made.variant == "specified in RFC 4122"
    assert made.int >> 80 == NOW // 1000
    assert IdMaker(lambda: 0).make(NOW) == UUID("01a20846-fe7b-774b-8000-000000000000")


def test_a_hundred_thousand_ids_of_one_instant_rise_and_differ():
    maker = IdMaker()
    ids = [maker.make(NOW) for _ in range(100_000)]
    assert all(one < another for one, another in pairwise(ids))
    assert all(one.version == 7 and one.variant == "specified in RFC 4122" for one in ids)
    assert ids[-1].int >> 80 < (NOW + SECOND) // 1000


def test_ids_rise_even_when_the_clock_goes_back():
    maker = IdMaker()
    instants = [NOW, NOW - HOUR, NOW - HOUR, NOW + 1, NOW - 1, NOW + SECOND, NOW]
    assert all(one < another for one, another in pairwise([maker.make(now) for now in instants]))


def test_ids_rise_with_every_microsecond():
    """Up to the resolution of the fraction, which is a quarter of one."""
    ids = [IdMaker().make(NOW + step) for step in range(1000)]
    assert all(one < another for one, another in pairwise(ids))


def test_two_makers_do_not_make_the_same_id():
    one, another = IdMaker(), IdMaker()
    assert not {one.make(NOW) for _ in range(1000)} & {another.make(NOW) for _ in range(1000)}


def test_threads_share_a_maker():
    maker, made = IdMaker(), []

    def make() -> None:
        made.extend([maker.make(NOW) for _ in range(5000)])

    threads = [threading.Thread(target=make) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 20_000


def test_the_lowest_id_of_an_instant_is_below_all_that_are_born_then():
    for bits in (0, (1 << 62) - 1):
        maker = IdMaker(lambda bits=bits: bits)
        assert lowest_id(NOW - 1000) < lowest_id(NOW) <= maker.make(NOW) < lowest_id(NOW + 1000)
    assert lowest_id(-5) == lowest_id(0)


def test_making_an_id_is_cheap():
    maker, before = IdMaker(), time.perf_counter()
    for _ in range(20_000):
        maker.make(NOW)
    assert time.perf_counter() - before < 2
