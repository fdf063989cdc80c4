"""Settings for every test."""

import torch

# Tiny networks gain nothing from threads, and lose much where other programs use the machine.
torch.set_num_threads(1)
