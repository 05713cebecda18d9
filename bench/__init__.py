"""`make bench`: what this project promises, measured.

Not part of the test suite, since a time means little elsewhere.
"""
