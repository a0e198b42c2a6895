"""`python -m callsheet` is `callsheet`: the working directory comes last, whatever modules it holds."""

import sys

if not sys.flags.safe_path:  # else Python did not put it first
    sys.path.append(sys.path.pop(0))

from callsheet.cli import main

sys.exit(main())
