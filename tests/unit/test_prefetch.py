"""Reading ahead changes neither order nor errors, and is never far ahead."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightvad.prefetch import AHEAD, read_ahead


@given(st.lists(st.one_of(st.none(), st.integers())))
def test_the_same_items_in_the_same_order(items: list[int | None]) -> None:
    assert list(read_ahead(items)) == items


def test_an_error_comes_in_its_turn() -> None:
    def failing() -> Iterator[int]:
        yield 1
        yield 2
        message = "the third item is damaged"
        raise ValueError(message)

    taken = []
    with pytest.raises(ValueError, match="the third item is damaged"):
        for item in read_ahead(failing()):
            taken += [item]
    assert taken == [1, 2]


def test_only_a_few_items_are_made_early() -> None:
    made = []

    def counted() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    for taken, _ in enumerate(read_ahead(counted()), start=1):
        assert len(made) <= taken + AHEAD
        if taken == 5:
            break
    assert len(made) <= 5 + AHEAD
