"""docs/coming-from-ultralytics.md names what there is; tests/test_documents.py runs it."""

from pathlib import Path

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "coming-from-ultralytics.md").read_text()


def test_every_predictor_is_named() -> None:
    from samkit.compat import ultralytics

    for name in ultralytics.__all__:
        if "Predictor" in name:
            assert f"from samkit.compat.ultralytics import {name}`" in GUIDE
