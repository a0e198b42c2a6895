"""What callsheet costs, measured on the real service process beside the least it could cost."""
