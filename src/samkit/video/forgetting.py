"""Leaving out what was seen around a correction."""

from samkit.video.predictor import VideoPredictor

__all__ = ["forget_around"]


def forget_around(tracker: VideoPredictor, object_id: int, frame: int) -> None:
    """Forget what tracking remembers of an object near a frame, on both sides of it.

    What was said of the object stays, on that frame and others. For corrections of an object that
    was lost before: memories of the wrong thing would pull tracking back.

    Args:
        tracker: where the object is known; of others nothing happens.
        object_id: the object.
        frame: the frame that was corrected.
    """
    state = tracker._session.objects.get(object_id)
    if state is None:
        return
    bank = state.bank
    for other in [t for t in bank.followed if 0 < abs(t - frame) <= bank.slots]:
        if other not in state.answers:
            del bank.followed[other]
