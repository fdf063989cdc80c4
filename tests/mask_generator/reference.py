"""Everything mode as it is published, step by step and slowly (2304.02643, appendix B).

One point at a time, every mask at the size of the image, and no shortcut.
"""

import math

import numpy as np
import torch
from scipy import ndimage

from samkit.nn import PromptTensors


def boxes_of(masks):
    """Inclusive xyxy of (N, H, W); zeros where empty."""
    boxes = np.zeros((len(masks), 4))
    for box, mask in zip(boxes, masks, strict=True):
        ys, xs = np.nonzero(mask)
        if len(ys):
            box[:] = xs.min(), ys.min(), xs.max(), ys.max()
    return boxes


def nms(boxes, scores, threshold):
    kept = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(not iou(boxes[i], boxes[j]) > threshold for j in kept):
            kept.append(i)
    return kept


def iou(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union else 0.0


def crop_boxes(height, width, layers, overlap_ratio):
    crops = [(0, (0, 0, width, height))]
    for layer in range(layers):
        side = 2 ** (layer + 1)
        overlap = int(overlap_ratio * min(height, width) * (2 / side))
        w = math.ceil((overlap * (side - 1) + width) / side)
        h = math.ceil((overlap * (side - 1) + height) / side)
        for x in range(side):
            for y in range(side):
                x0, y0 = (w - overlap) * x, (h - overlap) * y
                crops.append((layer + 1, (x0, y0, min(x0 + w, width), min(y0 + h, height))))
    return crops


def generate(predictor, image, config):
    """List of dicts: mask (H, W) bool, score, stability, point, crop."""
    height, width = image.shape[:2]
    found = []
    crops = crop_boxes(height, width, config.crop_n_layers, config.crop_overlap_ratio)
    for layer, crop in crops:
        x0, y0, x1, y1 = crop
        embedding = predictor.embed(image[y0:y1, x0:x1])
        records = []
        for point in config.grid(layer) * [x1 - x0, y1 - y0]:
            records += one_point(predictor, embedding, point, config)
        keep = []
        for record in records:
            box = boxes_of(record["mask"][None])[0] + [x0, y0, x0, y0]
            near = np.abs(box - crop) <= 20
            border = np.abs(box - [0, 0, width, height]) <= 20
            if (near & ~border).any():
                continue
            whole = np.zeros((height, width), bool)
            whole[y0:y1, x0:x1] = record["mask"]
            record.update(mask=whole, box=box, crop=crop)
            record["point"] = record["point"] + [x0, y0]
            keep.append(record)
        best = nms([r["box"] for r in keep], [r["score"] for r in keep], config.box_nms_thresh)
        found += [keep[i] for i in best]
    if len(crops) > 1:
        areas = [1 / ((c[2] - c[0]) * (c[3] - c[1])) for c in (r["crop"] for r in found)]
        found = [found[i] for i in nms([r["box"] for r in found], areas, config.crop_nms_thresh)]
    if config.min_mask_region_area:
        found = cleaned(found, config)
    return found


def one_point(predictor, embedding, point, config):
    network, decoder = predictor.network, predictor.network.mask_decoder
    single = decoder.single if not config.multimask_output else decoder.multiple

    def ask(masks=None):
        xy = embedding.transform.points_to_input(np.array([point], np.float32))
        prompts = PromptTensors(
            points=torch.from_numpy(np.stack([xy, 0 * xy], 1)),
            labels=torch.tensor([[1, -1]]),
            masks=masks,
        )
        return network.decode_masks(embedding.features, prompts)

    with torch.inference_mode():
        prediction = single(ask())
        logits, scores = prediction.logits[0], prediction.iou[0]
        if config.use_m2m:
            again = [decoder.single(ask(low[None, None].clamp(-32, 32))) for low in logits]
            logits = torch.cat([one.logits[0] for one in again])
            scores = torch.cat([one.iou[0] for one in again])
        full = embedding.transform.masks_to_image(logits)
    records = []
    for logit, score in zip(full, scores.tolist(), strict=True):
        above = (logit > config.mask_threshold + config.stability_score_offset).sum().item()
        below = (logit > config.mask_threshold - config.stability_score_offset).sum().item()
        stability = above / below if below else math.nan
        if config.pred_iou_thresh > 0 and not score > config.pred_iou_thresh:
            continue
        if config.stability_score_thresh > 0 and not stability >= config.stability_score_thresh:
            continue
        mask = (logit > config.mask_threshold).numpy()
        records.append({"mask": mask, "score": score, "stability": stability, "point": point})
    return records


def cleaned(found, config):
    scores = []
    for record in found:
        mask = small_regions_removed(record["mask"], config.min_mask_region_area)
        scores.append(float((mask == record["mask"]).all()))
        record.update(mask=mask, box=boxes_of(mask[None])[0])
    threshold = max(config.box_nms_thresh, config.crop_nms_thresh)
    return [found[i] for i in nms([r["box"] for r in found], scores, threshold)]


def small_regions_removed(mask, area):
    """By scipy: holes filled first, then parts removed; of nothing but small parts the largest."""
    eight = np.ones((3, 3))
    labels, count = ndimage.label(~mask, eight)
    mask = mask.copy()
    for i in range(1, count + 1):
        if (labels == i).sum() < area:
            mask |= labels == i
    labels, count = ndimage.label(mask, eight)
    sizes = [(labels == i).sum() for i in range(1, count + 1)]
    if not sizes:
        return mask
    keep = [i for i, size in enumerate(sizes, 1) if size >= area]
    keep = keep or [int(np.argmax(sizes)) + 1]
    return np.isin(labels, keep)
