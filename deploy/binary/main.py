"""Where the one-file binary begins, once `hook.py` has run."""

import multiprocessing
import signal
import sys

from callsheet.cli import main

multiprocessing.freeze_support()  # processes that tasks start by `multiprocessing` begin here, too
if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
    signal.signal(signal.SIGINT, signal.default_int_handler)
sys.exit(main())
