"""Concepts on images, compared with Sam3Model of transformers and its processor.

Where transformers (5.24) departs from the authors, it is set right: without any example it leaves
out the token of all examples. RoIAlign, which it takes from torchvision, is samkit's own here, which
`nn/parity/test_sam3_detector.py` compares with a plain one.
"""

import copy
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nn.parity.conftest import _randomise
from nn.parity.test_sam3 import BACKBONE, GRID, MEMORY_PART, SIZE, image_part
from transformers import Sam3VideoConfig, Sam3VideoModel
from transformers.models.sam3 import modeling_sam3
from transformers.models.sam3.image_processing_sam3 import Sam3ImageProcessor

import samkit
from samkit import CheckpointError, Concept, ImageEmbedding, ImagePredictor, InputError, Masks, Prompt
from samkit.errors import CheckpointKeysError, PromptError
from samkit.nn.exemplar_encoder import pooled_box
from samkit.weights import load_detector, load_network, save_network
from samkit.words import tokens_of

DIM = 32
LAYERS = {"hidden_size": DIM, "num_attention_heads": 4, "intermediate_size": 40}
EXAMPLES = [[10, 20, 60, 70], [90, 30, 130, 80]]
