import numpy as np
import pytest

from samkit.arguments import switch, whole_number
from samkit.errors import InputError, shown


class Unprintable:
    def __repr__(self) -> str:
        raise RuntimeError("no text")

    def __index__(self) -> int:
        raise OverflowError("no number")


def test_whole_numbers_have_a_lower_bound():
    assert whole_number("frame", np.int16(3)) == 3
    assert whole_number("frame", -7) == -7
    assert whole_number("frame", 0, 0) == 0
    for value in (-1, True, 1.0, "1", None, Unprintable(), -(10**5000)):
        with pytest.raises(InputError, match="frame: expected a whole number from 0 on, got "):
            whole_number("frame", value, 0)
    with pytest.raises(InputError, match="frame: expected a number of 64 bits"):
        whole_number("frame", 10**5000)


def test_switches_are_true_or_false():
    assert switch("outline", True) is switch("outline", np.bool_(True)) is True
    assert switch("outline", False) is False
    assert switch("outline", 1) is True  # as elsewhere in Python
    for value in ("no", 2, 1.0, None, np.ones(2), [], Unprintable()):
        with pytest.raises(InputError, match="outline: expected True or False, got "):
            switch("outline", value)


def test_every_value_can_be_shown():
    nested: list = []
    for _ in range(5000):
        nested = [nested]
    assert shown("a" * 200) == "'" + "a" * 79
    assert shown(10**5000) == "an object of type int"
    assert shown(nested) == "an object of type list"
    assert shown(Unprintable()) == "an object of type Unprintable"
