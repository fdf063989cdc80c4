"""Prompts that hypothesis draws."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from samkit.prompts import Prompt

finite = st.floats(-1e6, 1e6, width=32)


@st.composite
def any_prompt(draw: st.DrawFn) -> Prompt:
    count = draw(st.integers(0, 4))
    corner = draw(st.tuples(finite, finite))
    has_box, kind = draw(st.booleans()), draw(st.sampled_from(["", "binary", "logits"]))
    shape = npst.array_shapes(min_dims=2, max_dims=2, max_side=6)
    mask = None
    if kind:
        numbers = st.floats(allow_nan=False, allow_infinity=False, width=32)
        mask = draw(
            npst.arrays(bool, shape)
            if kind == "binary"
            else npst.arrays(np.float32, shape, elements=numbers)
        )
    return Prompt(
        point_coords=draw(npst.arrays(np.float32, (count, 2), elements=finite)),
        point_labels=draw(npst.arrays(np.int32, count, elements=st.integers(0, 1))),
        box_xyxy=np.array([*corner, corner[0] + 1e3, corner[1] + 1e3])
        if has_box or not (count or kind)
        else None,
        mask_input=mask,
    )
