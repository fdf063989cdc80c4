import numpy as np
import pytest

from samkit import InputError, Prompt, PromptError
from samkit.memory.arguments import check_known, checked_prompts


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
