"""How often Python looks for cycles: seldom, as nearly all that we make goes by itself, and what is loaded stays."""

import gc


def calm() -> None:
    """Collect less often: with 50,000 instances in memory each full collection stops the loop for a while."""
    gc.set_threshold(50_000, 20, 100)
