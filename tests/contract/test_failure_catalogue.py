"""docs/failure-catalogue.md says what the code and the state machines do."""

from emrp.failure_catalogue import ADVICE, PAGE, catalogue, classes


def test_catalogue_is_the_one_that_is_generated_when_it_is_read() -> None:
    assert PAGE.read_text(encoding="utf-8") == catalogue(), "run `python -m emrp.failure_catalogue`"


def test_operator_is_told_what_to_do_when_any_error_comes() -> None:
    assert set(ADVICE) == {kind.__name__ for kind in classes()}
