"""What callsheet is compared with: each a script of its own, with an environment of its own where it needs one."""
