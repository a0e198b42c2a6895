"""The tasks that come with callsheet, written with nothing but its public face."""

from callsheet.builtin.counter import Counter
from callsheet.builtin.http_get import http_get
from callsheet.builtin.sleep import sleep

__all__ = ["Counter", "http_get", "sleep"]
