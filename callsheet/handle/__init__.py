"""What a program holds of an engine in its own process: verbs that ask it, and values that it shows.

`callsheet.testing` and `callsheet.embedded` are made of them.
"""
