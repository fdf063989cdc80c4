import numpy as np
import pytest

from samkit import InputError, Prompt, PromptError
from samkit.memory.arguments import check_known, checked_prompts, whole_number


def test_whole_numbers_have_a_lower_bound():
    assert whole_number("frame", np.int16(3)) == 3
    assert whole_number("frame", -7) == -7
    assert whole_number("frame", 0, 0) == 0
    for value in (-1, True, 1.0, "1", None):
        with pytest.raises(InputError, match="frame: expected a whole number from 0 on, got "):
            whole_number("frame", value, 0)


def test_known_objects():
    check_known(2, (1, 2))
    with pytest.raises(InputError, match=r"a known object \(1, 2\), got 3"):
        check_known(3, {1: "a", 2: "b"})
    with pytest.raises(InputError, match=r"a known object \(none\), got 3"):
        check_known(3, ())


def test_prompts_by_id():
    prompt = Prompt.point(1, 2)
    assert checked_prompts({np.int64(4): prompt}) == {4: prompt}
    assert checked_prompts({}) == {}
    for wrong, error in (
        ([prompt], InputError),
        ({"1": prompt}, InputError),
        ({1: 2}, PromptError),
    ):
        with pytest.raises(error):
            checked_prompts(wrong)
