"""The journal: how changes are committed."""
