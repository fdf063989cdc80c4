"""The detector of SAM 3 gives what Sam3Model of transformers gives, from the image's maps on.

Where transformers (5.24) departs from the authors, it is set right: without any example it leaves
out the token of all examples. RoIAlign, which it takes from torchvision, is a plain one here.
"""

import math
import re
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import Sam3Config, Sam3Model
from transformers.models.sam3 import modeling_sam3

from samkit.nn import build
from samkit.nn.detector import ConceptTokens, Detector
from samkit.nn.exemplar_encoder import pooled_box
from samkit.sizes import DetectorConfig, TextEncoderConfig, sam3

DIM, GRID, TOKENS = 32, 6, 5
LAYERS = {"hidden_size": DIM, "num_attention_heads": 4, "intermediate_size": 40}
NAMES = (
    (r"^text_encoder\..*|^vision_encoder\..*", ""),
    (r"^text_projection", "text_encoder.resizer"),
    (r"^detr_encoder\.layers", "encoder"),
    (r"^detr_decoder", "decoder"),
    (r"^mask_decoder", "segmentation_head"),
    (r"^dot_product_scoring", "dot_prod_scoring"),
    (r"o_proj", "out_proj"),
    (r"\.mlp\.fc1", ".mlp.layers.0"),
    (r"\.mlp\.fc2", ".mlp.layers.1"),
    (r"(?<!layers)\.layer([123])\.", lambda match: f".layers.{int(match[1]) - 1}."),
    (r"\.layer_norm([123])\.", r".norm\1."),
    (r"encoder\.vision_layer_norm", "encoder.img_pre_norm"),
    (r"encoder\.prompt_layer_norm", "encoder.norm"),
    (r"geometry_encoder\.output_layer_norm", "geometry_encoder.encode_norm"),
    (r"decoder\.output_layer_norm", "decoder.norm"),
    (r"decoder\.box_head", "decoder.bbox_embed"),
    (r"presence_head", "presence_token_head"),
    (r"presence_layer_norm", "presence_token_out_norm"),
    (r"box_rpb_embed", "boxRPB_embed"),
    (r"self_attn_layer_norm", "norm2"),
    (r"text_cross_attn_layer_norm", "catext_norm"),
    (r"text_cross_attn", "ca_text"),
    (r"vision_cross_attn_layer_norm", "norm1"),
    (r"vision_cross_attn", "cross_attn"),
    (r"mlp_layer_norm", "norm3"),
    (r"pixel_decoder\.", ""),
    (r"mask_embedder", "mask_embed"),
    (r"instance_projection", "instance_seg_head"),
    (r"semantic_projection", "semantic_seg_head"),
    (r"prompt_cross_attn_norm", "cross_attn_norm"),
    (r"prompt_cross_attn", "cross_attend_prompt"),
    (r"text_mlp_out_norm", "out_norm"),
    (r"text_mlp", "prompt_mlp"),
    (r"text_proj\.", "prompt_proj."),
    (r"query_proj\.", "hs_proj."),
)


def plain_roi_align(maps, boxes, size):
    """RoIAlign of torchvision with its defaults, one sample after the other."""
    results = []
    for image, own in zip(maps, boxes, strict=True):
        for x0, y0, x1, y1 in own.tolist():
            wide, high = max(x1 - x0, 1.0), max(y1 - y0, 1.0)
            across, down = math.ceil(wide / size), math.ceil(high / size)
            result = torch.zeros(image.shape[0], size, size)
            for row in range(size):
                for column in range(size):
                    samples = [
                        bilinear(
                            image,
                            y0 + high / size * (row + (i + 0.5) / down),
                            x0 + wide / size * (column + (j + 0.5) / across),
                        )
                        for i in range(down)
                        for j in range(across)
                    ]
                    result[:, row, column] = torch.stack(samples).mean(0)
            results.append(result)
    return torch.stack(results)


def bilinear(image, y, x):
    height, width = image.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return torch.zeros(image.shape[0])
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = image[:, top, left] * (1 - x + left) + image[:, top, right] * (x - left)
    lower = image[:, bottom, left] * (1 - x + left) + image[:, bottom, right] * (x - left)
    return upper * (1 - y + top) + lower * (y - top)


@pytest.fixture
def pair(randomise, monkeypatch):
    ops = SimpleNamespace(roi_align=plain_roi_align)
    monkeypatch.setattr(modeling_sam3, "torchvision", SimpleNamespace(ops=ops), raising=False)
    torch.manual_seed(0)
    config = Sam3Config(
        vision_config={
            "backbone_config": {
                "model_type": "sam3_vit_model",
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
            },
            "fpn_hidden_size": DIM,
        },
        text_config={
            "model_type": "clip_text_model",
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
        },
        geometry_encoder_config={**LAYERS, "num_layers": 2},
        detr_encoder_config={**LAYERS, "num_layers": 2},
        detr_decoder_config={**LAYERS, "num_layers": 2, "num_queries": 9},
        mask_decoder_config={"hidden_size": DIM, "num_attention_heads": 4},
    )
    theirs = Sam3Model(config).eval()
    randomise(theirs)
    ours = Detector(
        DetectorConfig(
            text=TextEncoderConfig(dim=16, depth=1, heads=2, mlp_dim=16),
            heads=4,
            mlp_dim=40,
            exemplar_layers=2,
            encoder_layers=2,
            decoder_layers=2,
            queries=9,
        ),
        DIM,
        16,
    ).eval()
    state = {}
    for name, tensor in theirs.state_dict().items():
        for other, here in NAMES:
            name = re.sub(other, here, name)
        state[name] = tensor
    state.pop("")
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert unexpected == []
    assert all(name.startswith(("text_encoder.", "neck.")) for name in missing)
    return ours, theirs


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(1)
    return [
        torch.randn(1, DIM, GRID * finer, GRID * finer, generator=generator) for finer in (4, 2, 1)
    ]


def expected_of(theirs, maps, words, boxes, labels):
    """What transformers gives for one concept; the token of all examples is always there."""
    positions = [
        theirs.vision_encoder.neck.position_encoding(m.shape, "cpu", m.dtype) for m in maps
    ]
    tokens, attended = words.tokens, words.attended
    if not boxes.shape[1]:
        examples = theirs.geometry_encoder(
            boxes, torch.ones(1, 0, dtype=torch.bool), labels, maps, positions
        )
        tokens = torch.cat([tokens, examples.last_hidden_state], 1)
        attended = torch.cat([attended, torch.ones(1, 1, dtype=torch.bool)], 1)
    return theirs(
        vision_embeds=SimpleNamespace(
            fpn_hidden_states=(*maps, None),
            fpn_position_encoding=(*positions, None),
            hidden_states=None,
            attentions=None,
        ),
        text_embeds=SimpleNamespace(pooler_output=tokens),
        attention_mask=attended.long(),
        input_boxes=boxes if boxes.shape[1] else None,
        input_boxes_labels=labels if boxes.shape[1] else None,
    )


BOXES = [[0.5, 0.4, 0.6, 0.5], [0.1, 0.9, 0.05, 0.3], [0.95, 0.05, 0.3, 0.3]]


@pytest.mark.parametrize("examples", [0, 1, 3])
@torch.inference_mode()
def test_all_objects_of_a_concept(pair, maps, assert_close, examples, monkeypatch):
    ours, theirs = pair
    generator = torch.Generator().manual_seed(2)
    words = ConceptTokens(
        tokens=torch.randn(1, TOKENS, DIM, generator=generator),
        attended=torch.arange(TOKENS)[None] < 3,
    )
    boxes = torch.tensor(BOXES[:examples]).view(1, examples, 4)
    labels = torch.tensor([[1, 0, 1][:examples]], dtype=torch.long)
    if not examples:  # a plain convolution of no part of an image
        monkeypatch.setattr(
            modeling_sam3.torchvision.ops, "roi_align", lambda m, b, s: m.new_zeros(0, DIM, s, s)
        )
    expected = expected_of(theirs, maps, words, boxes, labels)
    found = ours.detect(maps, words, boxes, labels)
    assert_close(found.scores, expected.pred_logits, "scores")
    assert_close(found.boxes, expected.pred_boxes, "boxes")
    assert_close(found.presence, expected.presence_logits[:, 0], "presence")
    assert_close(ours.semantic(found.pixels), expected.semantic_seg[:, 0], "semantic")
    assert_close(ours.masks(found.queries, found.pixels), expected.pred_masks, "masks")
    some = found.queries[:, [4, 2]]
    assert_close(ours.masks(some, found.pixels), expected.pred_masks[:, [4, 2]], "some masks")
    probabilities = expected.pred_logits.sigmoid() * expected.presence_logits.sigmoid()
    assert_close(found.probabilities, probabilities, "probabilities")


@torch.inference_mode()
def test_concepts_do_not_feel_each_other(pair, maps, assert_close):
    """Several on one image give what each of them gives."""
    ours = pair[0]
    words = ConceptTokens(
        tokens=torch.randn(3, TOKENS, DIM, generator=torch.Generator().manual_seed(3)),
        attended=torch.arange(TOKENS)[None] < torch.tensor([[2], [5], [3]]),
    )
    boxes, labels = torch.tensor([BOXES[:1], BOXES[1:2], BOXES[2:]]), torch.tensor([[1], [0], [1]])
    together = ours.detect(maps, words, boxes, labels)
    for i in range(3):
        own = ConceptTokens(
            tokens=words.tokens[i : i + 1, :], attended=words.attended[i : i + 1, :]
        )
        alone = ours.detect(maps, own, boxes[i : i + 1], labels[i : i + 1])
        assert_close(together.scores[i : i + 1], alone.scores, "scores")
        semantic = ours.semantic(together.pixels)[i : i + 1]
        assert_close(semantic, ours.semantic(alone.pixels), "semantic")


@pytest.mark.parametrize(
    "box",
    [
        *BOXES,
        [0.5, 0.5, 1.0, 1.0],
        [0.5, 0.5, 0.0, 0.0],
        [1.2, -0.3, 0.4, 0.2],
        [0.5, 0.5, 3.0, 2.0],
    ],
)
def test_part_of_an_image_in_a_box(box, assert_close):
    image = torch.randn(3, 11, 9, generator=torch.Generator().manual_seed(4))
    x, y, width, height = box
    scaled = torch.tensor(
        [[(x - width / 2) * 9, (y - height / 2) * 11, (x + width / 2) * 9, (y + height / 2) * 11]]
    )
    (expected,) = plain_roi_align([image], [scaled], 4)
    found = pooled_box(image, box, 4)
    if expected.any():
        assert_close(found, expected, "part")
    assert torch.allclose(found, expected, atol=1e-4)


def test_full_size_has_the_published_parameters():
    with torch.device("meta"):
        detector = Detector(DetectorConfig(), 256, 1024)
    count = sum(p.numel() for p in detector.parameters())
    # Without the unused projection of texts, and the layers of points, which are not used either.
    published = 353_724_672 + 8_215_808 + 9_472_512 + 11_575_093 + 2_298_881 + 1_182_976
    published += 7_802_112  # of its maps of an image
    assert count == published - 1024 * 512 - 132_352


@torch.no_grad()
def test_a_second_concept_costs_a_tenth_of_the_first_at_most(monkeypatch):
    """In multiplications, of the published sizes."""
    with torch.device("meta"):
        network, detector = build(sam3()), Detector(DetectorConfig(), 256, 1024)
        pixels = torch.empty(1, 3, 1008, 1008)
        tokens = torch.ones(1, 32, dtype=torch.long)
        boxes, labels = torch.empty(1, 0, 4), torch.empty(1, 0, dtype=torch.long)
    # Without examples; boxes are read as numbers, which this device has none of.
    monkeypatch.setattr(detector.geometry_encoder, "_boxes", lambda x, *_: x.new_empty(1, 0, 256))
    with FlopCounterMode(display=False) as image:
        maps = detector.maps(network.encode_with_trunk(pixels).further[0])
    with FlopCounterMode(display=False) as concept:
        found = detector.detect(maps, detector.words(tokens), boxes, labels)
        detector.masks(found.queries, found.pixels)
    second = concept.get_total_flops()
    assert 0 < second < 0.1 * (image.get_total_flops() + second)
