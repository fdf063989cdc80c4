"""Settings for every test."""

import hypothesis
import torch

# Tiny networks gain nothing from threads, and lose much where other programs use the machine.
torch.set_num_threads(1)

# No test depends on timing.
hypothesis.settings.register_profile("samkit", deadline=None)
hypothesis.settings.load_profile("samkit")
