"""`make bench`: what DESIGN.md promises, measured. Not part of the test suite, since a time means little elsewhere."""
