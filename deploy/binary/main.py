"""Where the one-file binary begins, once `hook.py` has run."""

import multiprocessing
import signal
import sys

from callsheet.cli import main

multiprocessing.freeze_support()  # processes that tasks start by `multiprocessing` begin here, too
if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
    signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    sys.exit(main())
finally:  # what the parent hands on late must not end what is ending: its exit code would be lost
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
