"""Settings for every test."""

import hypothesis
import torch

# Tiny networks gain nothing from threads, and lose much where other programs use the machine.
torch.set_num_threads(1)

# Nor does a test fail because the machine is busy with something else.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")
