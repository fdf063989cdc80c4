import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from tiny import make, tiny_edge_tam, tiny_pico, tiny_sam
from training.helpers import assert_same, final

from samkit.errors import InputError
from samkit.sizes import to_dict
from samkit.training import ClipConfig, Report, Stage, preset, train
from samkit.training.config import IMAGE_PARTS, MEMORY_PARTS, LossConfig
from samkit.training.data import load_library
from samkit.training.tracking import make_clip_batch, propagate

STAGE = Stage(size=64, width=96, images=2, prompts=3, frames=4)


@pytest.fixture
def clips(config):
    """The small world in motion."""
    return replace(
        config,
        network=to_dict(tiny_pico()),
        stages=(STAGE,),
        motion=ClipConfig(speed=0.05, entry=0.5),
        frozen=IMAGE_PARTS,
        steps=4,
    )


def pixels_of(episode):
    return torch.from_numpy(episode.frames).permute(0, 3, 1, 2).float() / 255


def test_the_same_step_gives_the_same_clips(clips):
    library = load_library(clips)
    a, b = (make_clip_batch(library, clips, STAGE, 5) for _ in range(2))
    other = make_clip_batch(library, clips, STAGE, 6)
    assert len(a.episodes) == 2
    for one, two in zip(a.episodes, b.episodes, strict=True):
        assert np.array_equal(one.frames, two.frames)
        assert np.array_equal(one.targets, two.targets)
    assert not np.array_equal(a.episodes[0].frames, other.episodes[0].frames)
    halves = a.split(2)
    assert [half.episodes for half in halves] == [(a.episodes[0],), (a.episodes[1],)]


def test_prompted_objects_are_seen_on_the_first_frame(clips):
    library = load_library(clips)
    given = []
    for step in range(12):
        for episode in make_clip_batch(library, clips, STAGE, step).episodes:
            frames, count = episode.targets.shape[:2]
            assert (frames, episode.frames.shape) == (4, (4, 64, 96, 3))
            assert 1 <= count <= 3
            assert episode.points.shape == (count, 2, 2)
            assert (episode.targets[0].max((1, 2)) > 127).all()
            given.append(episode.masks is not None)
            if episode.masks is not None:
                # The mask is what the first target is a smaller picture of.
                small = episode.masks.reshape(count, 16, 4, 24, 4).mean((2, 4))
                assert np.abs(small - episode.targets[0] / 255).mean() < 0.05
    assert 0 < sum(given) < len(given)


@pytest.mark.parametrize("elsewhere", [0.0, 1.0])
def test_clips_that_go_elsewhere(clips, elsewhere):
    """One or two frames in a row, not the first, are without objects and unlike the others."""
    calm = ClipConfig(speed=0.0, wander=0.0, entry=0.0, camera=0.0, calm=0.0, elsewhere=elsewhere)
    clips = replace(clips, motion=calm)
    library, cuts = load_library(clips), []
    for step in range(8):
        for episode in make_clip_batch(library, clips, STAGE, step).episodes:
            empty = np.flatnonzero(~episode.targets.any((1, 2, 3)))
            cuts.append(empty.tolist())
            changes = np.abs(np.diff(episode.frames.astype(float), axis=0)).mean((1, 2, 3))
            if len(empty) and empty[0] > 1:
                assert changes[empty[0] - 1] > 2 * changes[: empty[0] - 1].max()
    if elsewhere:
        assert {len(cut) for cut in cuts} == {1, 2}
        assert all(cut[0] > 0 and cut[-1] - cut[0] < 2 for cut in cuts)
        assert {cut[0] for cut in cuts} == {1, 2, 3}
    else:
        assert cuts == [[]] * 16


def test_memory_learns_and_what_knows_images_stays(clips):
    network = make(tiny_pico())
    library = load_library(clips)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.startswith(IMAGE_PARTS))
    score = network.mask_decoder.pred_obj_score_head.layers[-1].bias
    for step in range(4):  # by mask, box and click
        with torch.no_grad():
            score.fill_(5.0 if step % 2 else -5.0)  # seen as there, and as not there
        for episode in make_clip_batch(library, clips, STAGE, step).episodes:
            rng = np.random.default_rng(step)
            loss, iou = propagate(network, pixels_of(episode), episode, LossConfig(), rng)
            loss.backward()
            seen = int((episode.targets[1:].max((2, 3)) > 127).sum())
            assert iou.shape == (seen,)
    for name, parameter in network.named_parameters():
        if name.startswith(IMAGE_PARTS):
            assert parameter.grad is None, name
        elif name != "no_mem_pos_enc":  # of no use to SAM 2 either
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


def test_the_parts_are_all_there():
    networks = (make(tiny_pico()), make(tiny_edge_tam()))
    names = [name for network in networks for name, _ in network.named_parameters()]
    for part in (*IMAGE_PARTS, *MEMORY_PARTS):
        assert any(name.startswith(part) for name in names), part
    image = {name for name in names if name.startswith(IMAGE_PARTS)}
    memory = {name for name in names if name.startswith(MEMORY_PARTS)}
    assert not image & memory
    rest = set(names) - image - memory
    assert rest == {name for name in names if "pred_obj_score_head" in name}


def test_tracking_learns_a_small_world(clips, tmp_path):
    square = replace(STAGE, width=None)
    clips = replace(clips, stages=(square,), steps=35, learning_rate=1e-2, warmup=3, frozen=())
    *reports, _ = train(clips, tmp_path / "run.pt")
    assert all(isinstance(report, Report) for report in reports)
    assert reports[-1].loss < 0.8 * reports[0].loss
    assert reports[-1].box_iou == 0
    assert reports[-1].track_iou > 0.1


@pytest.mark.parametrize("processes", [0, 2])
def test_an_interrupted_run_ends_with_the_same_weights(clips, tmp_path, often, processes):
    """Of images first, and then of clips."""
    stages = (replace(STAGE, frames=1, until=0.5), STAGE)
    prompts = replace(clips.prompts, correction=0.5)
    config = replace(clips, stages=stages, frozen=(), prompts=prompts)
    whole, reports = final(train(config, tmp_path / "whole.pt", processes=processes))
    assert [report.step for report in reports] == [2, 4]
    parts = tmp_path / "parts.pt"
    final(train(config, parts, processes=processes, stop_after=3))
    resumed, _ = final(train(config, parts, processes=processes, resume=True))
    assert_same(whole, resumed)
    with (tmp_path / "parts.training.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["2", "4"]


def test_images_and_clips_in_one_run(clips, tmp_path):
    stages = (replace(STAGE, frames=1, until=0.5), STAGE)
    config = replace(clips, stages=stages, frozen=())
    before = make(tiny_pico()).state_dict()
    *_, network = train(config, tmp_path / "run.pt")
    changed = {n for n, t in network.state_dict().items() if not torch.equal(t, before[n])}
    assert any("memory" in name for name in changed)
    assert any("image_encoder" in name for name in changed)


def test_a_memory_is_there_once_it_was_trained(clips, tmp_path):
    start = make(tiny_pico())
    start.has_memory = False  # as of a file that holds the image part alone
    images = replace(clips, stages=(replace(STAGE, frames=1),), frozen=MEMORY_PARTS, steps=1)
    *_, network = train(images, tmp_path / "images.pt", start=start)
    assert not network.has_memory
    *_, network = train(replace(clips, steps=1), tmp_path / "clips.pt", start=start)
    assert network.has_memory
    # What was never trained is not taken over.
    assert (network.memory_attention.norm.weight - 0.1).abs().max() < 0.05
    *_, again = train(images, tmp_path / "again.pt", start=network)
    assert again.has_memory


def test_networks_without_memory_cannot_learn_from_clips(clips, tmp_path):
    config = replace(clips, network=to_dict(tiny_sam()), frozen=())
    with pytest.raises(InputError, match="SAM 2"):
        next(train(config, tmp_path / "run.pt"))


@pytest.mark.parametrize("frames", [0, -1])
def test_wrong_numbers_of_frames(clips, tmp_path, frames):
    config = replace(clips, stages=(replace(STAGE, frames=frames),))
    with pytest.raises(InputError, match="frames"):
        next(train(config, tmp_path / "run.pt"))


def test_the_preset(tmp_path):
    config = preset("pico-memory", tmp_path, steps=10)
    assert config.frozen == IMAGE_PARTS
    assert all(stage.frames > 1 for stage in config.stages)
