"""A whole engine on virtual time: what `callsheet.testing` and `callsheet simulate` are made of.

It is a composition root like callsheet.service, beside it and below nobody.
"""
