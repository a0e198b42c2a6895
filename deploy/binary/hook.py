"""What runs before all else in the one-file binary, other hooks included."""

from callsheet import onefile

onefile.begin()
