"""Everything mode: seconds beside the published algorithm done plainly, and memory.

    python benchmarks/everything.py                    # SAM ViT-B, 32 x 32 points, 1200 x 1800
    python benchmarks/everything.py --image 4000 6000 --points 64 --plain 0

Networks have random weights, so nothing is downloaded. With them no mask is predicted to be good,
which is the common case taken to its end; --keep-all sets all thresholds to 0, the other end. The
image encoder is not counted. The plain way decodes, scales up every mask to the image and filters
then, in batches of 64 points, as Meta's generator does; --plain N times N batches of it and counts
up. Memory is the highest resident size above that with the model and image in memory.
Other programs: benchmarks/bench.py.
"""

import argparse
import time

import numpy as np
import torch
from many_prompts import Peak

import samkit
from samkit import AutomaticMaskGenerator, ImagePredictor, Prompt
from samkit.nn import build
from samkit.weights import find_model

BATCH = 64


def plain_batch(predictor: ImagePredictor, embedding: samkit.ImageEmbedding) -> float:
    """Seconds that one batch of points takes when every mask is scaled up before it is judged."""
    height, width = embedding.image_size
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (BATCH, 2)) * [width, height]
    began = time.perf_counter()
    network, decoder = predictor.network, predictor.network.mask_decoder
    from samkit.image_predictor.prompt_tokens import prompt_tensors

    prompts = prompt_tensors(
        [Prompt.point(*xy) for xy in points], None, embedding.transform, False, predictor.device
    )
    with torch.inference_mode():
        prediction = decoder.multiple(network.decode_masks(embedding.features, prompts))
        full = embedding.transform.masks_to_image(prediction.logits.flatten(0, 1))
        above, below = (full > 1).sum((1, 2)), (full > -1).sum((1, 2))
        keep = (prediction.iou.flatten() > 0.88) & (above >= 0.95 * below)
        (full[keep] > 0).cpu()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="sam-vit-b", help="pico, or sizes with random weights")
    parser.add_argument("--image", type=int, nargs=2, default=(1200, 1800), metavar=("H", "W"))
    parser.add_argument("--points", type=int, default=32, help="points per side")
    parser.add_argument("--plain", type=int, default=2, help="batches of the plain way")
    parser.add_argument("--keep-all", action="store_true", help="all thresholds 0")
    options = parser.parse_args()

    torch.manual_seed(0)
    if options.sizes == "pico":
        predictor = samkit.load("pico")
    else:
        predictor = ImagePredictor(build(find_model(options.sizes).config), dtype="float32")
    height, width = options.image
    coarse = np.random.default_rng(0).integers(0, 256, (height // 50, width // 50, 3), np.uint8)
    image = np.ascontiguousarray(np.kron(coarse, np.ones((50, 50, 1), np.uint8)))
    began = time.perf_counter()
    embedding = predictor.embed(image)
    encoder = time.perf_counter() - began
    thresholds = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0} if options.keep_all else {}
    generator = AutomaticMaskGenerator(predictor, points_per_side=options.points, **thresholds)
    predictor.predict(embedding, [Prompt.point(3, 3)] * 4)

    print(f"{predictor}, {torch.get_num_threads()} threads")
    print(f"{height} x {width}, {options.points} x {options.points} points")
    peak = Peak()
    peak.start()
    embed = predictor.embed
    predictor.embed = lambda _: embedding  # the encoder is not counted
    began = time.perf_counter()
    found = generator(image)
    seconds = time.perf_counter() - began
    predictor.embed = embed
    peak.done.set()
    peak.join()
    above = (peak.peak_bytes - peak.start_bytes) / 2**20
    print(f"samkit         {seconds:8.1f} s, {len(found)} masks, {above:.0f} MB above the model")
    if options.plain:
        batches = -(-(options.points**2) // BATCH)
        plain_batch(predictor, embedding)
        part = sum(plain_batch(predictor, embedding) for _ in range(options.plain))
        seconds = part / options.plain * batches
        print(f"the plain way  {seconds:8.1f} s (from {options.plain} batches)")
    print(f"image encoder  {encoder:8.1f} s (not counted above)")


if __name__ == "__main__":
    main()
