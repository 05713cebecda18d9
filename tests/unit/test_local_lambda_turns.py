"""Invocations of a function that this machine cannot bear at once wait in line."""

from hypothesis import given
from hypothesis import strategies as st

from emrp.local.patches.lambda_turns import Line, Turn


def test_turns_come_in_order_when_those_before_have_left() -> None:
    line = Line(2)
    turns = [line.join() for _ in range(4)]
    assert [turn.came.is_set() for turn in turns] == [True, True, False, False]

    turns[1].leave()

    assert [turn.came.is_set() for turn in turns] == [True, True, True, False]


def test_place_is_given_up_when_somebody_leaves_before_the_turn_has_come() -> None:
    line = Line(1)
    first, impatient, last = line.join(), line.join(), line.join()

    impatient.leave()
    impatient.leave()
    first.leave()

    assert last.came.is_set()
    assert not line.join().came.is_set()


@given(st.lists(st.integers(0, 5), max_size=60), st.integers(1, 3))
def test_never_more_than_allowed_are_in_and_nobody_waits_in_vain(moves: list[int], at_a_time: int) -> None:
    line = Line(at_a_time)
    here: list[Turn] = []
    for move in moves:
        if move < 3 or not here:
            here.append(line.join())
        else:
            here.pop(move % len(here)).leave()
        inside = [turn for turn in here if turn.came.is_set()]
        assert len(inside) == min(at_a_time, len(here))
        assert inside == here[: len(inside)]
