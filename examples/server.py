"""Serve a detector over HTTP: POST an image file to /judge, get the verdict as JSON.

    pip install -e '.[serve]'
    DETECTOR=runs/digits/detectors/smd/fgsm/seed_0/model.ckpt uvicorn examples.server:app
    curl -F file=@digits/adv/2.png http://127.0.0.1:8000/judge

The environment variable FPR sets the false-positive rate, .05 unless set. There is no authentication and no limit on
the size of an upload: put a proxy with both in front of it.
"""

import os
import sys
from typing import Annotated, Any

from fastapi import FastAPI, File, HTTPException, UploadFile

from attacks.errors import InputError
from detectors import Detector, load


def served(detector: Detector, false_positive_rate: float) -> FastAPI:
    """Return the application that judges uploaded images by a calibrated detector."""
    application = FastAPI(title="Adversarial images", description=type(detector).__name__)

    @application.post("/judge")
    def judge(file: Annotated[UploadFile, File()]) -> dict[str, Any]:
        """Return the verdict on an image file of any format and size; status 422 for what is no image."""
        try:
            verdict = detector.judge(file.file, false_positive_rate)
        except InputError as error:
            raise HTTPException(422, str(error)) from error
        return {
            "score": verdict.score.item(),
            "probability": verdict.probability.item(),
            "is_adversarial": verdict.is_adversarial.item(),
            "predicted": verdict.predicted.item(),
            "confidence": verdict.confidence.item(),
            "threshold": verdict.threshold,
        }

    return application


def __getattr__(name: str) -> FastAPI:
    """Load the detector when a server asks for `app`, not when a test imports the module."""
    if name != "app":
        raise AttributeError(name)
    if "DETECTOR" not in os.environ:
        sys.exit("DETECTOR is not set: give it the path of a detector's .ckpt")
    return served(load(os.environ["DETECTOR"], Detector), float(os.environ.get("FPR", "0.05")))
