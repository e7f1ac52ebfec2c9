"""Verdicts: they are those of score, threshold and classifier, for tensors and files alike."""

import io

import pytest
import torch
from torch.testing import assert_close

from attacks.errors import InputError, InputTypeError
from data import decode
from tests.data.pictures import write
from tests.detectors import helpers


@pytest.fixture(params=helpers.TRAINED)
def guard(request, world):
    detector = helpers.build(request.param, world)
    detector.calibrate(detector.scores(world.images))
    return detector


def test_a_verdict_holds_score_threshold_and_prediction(guard, world):
    verdict = guard.judge(world.images, 0.25)
    scores, logits = guard.scores(world.images), world.classifier(world.images).detach()
    assert_close(verdict.score, scores, rtol=1e-4, atol=1e-5)
    assert verdict.threshold == guard.threshold(0.25)
    assert torch.equal(verdict.is_adversarial, verdict.score > verdict.threshold)
    assert verdict.is_adversarial.sum() <= 4
    assert_close(verdict.probability, 1 / (1 + torch.exp(-scores)), rtol=1e-4, atol=1e-5)
    assert torch.equal(verdict.predicted, logits.argmax(1))
    assert_close(verdict.confidence, logits.softmax(1).amax(1))
    assert len(verdict) == len(world.images)


def test_batches_and_modes_change_nothing(guard, world):
    many = world.images.repeat(5, 1, 1, 1)  # more than one batch
    before = many.clone()
    guard.train()
    verdict = guard.judge(many, 0.25)
    assert guard.training
    assert torch.equal(many, before)
    assert_close(verdict.score, guard.scores(world.images).repeat(5), rtol=1e-4, atol=1e-5)
    assert torch.equal(guard.judge(many.double(), 0.25).score, verdict.score)
    assert len(guard.judge(many[:0], 0.25)) == 0


def test_files_are_decoded_as_for_training(guard, tmp_path):
    files = [write(tmp_path / name, seed, size=(30, 20)) for seed, name in enumerate(["a.png", "b.jpg", "c.webp"])]
    images = torch.stack([torch.from_numpy(decode(str(file), guard.shape)) for file in files]).float() / 255
    expected = guard.judge(images, 0.25)
    given = [files, [str(file) for file in files], tuple(io.BytesIO(file.read_bytes()) for file in files)]
    for each in given:
        assert torch.equal(guard.judge(each, 0.25).score, expected.score)
    assert_close(guard.judge(files[1], 0.25).score, expected.score[1:2], rtol=1e-4, atol=1e-5)
    assert len(guard.judge([], 0.25)) == 0


def test_what_is_no_image_is_refused_in_a_sentence(grey, tmp_path):
    guard = helpers.build("ID", grey)
    with pytest.raises(InputError, match="0 calibration images are too few"):
        guard.judge(grey.images)
    guard.calibrate(torch.rand(30))
    (tmp_path / "x.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"x\.png cannot be decoded"):
        guard.judge(tmp_path / "x.png")
    with pytest.raises(InputError, match=r"^the image cannot be decoded \(cannot identify image file\): "):
        guard.judge(io.BytesIO(b"no image"))
    with pytest.raises(InputError, match=r"ID needs images \(N, 1, 12, 12\), got \(16, 1, 6, 12\)"):
        guard.judge(grey.images[:, :, :6])
    with pytest.raises(InputError, match="in \\[0, 1\\]"):
        guard.judge(grey.images * 255)
    with pytest.raises(InputError, match=r"got torch\.uint8 .*: images\.float\(\) / 255 makes them of bytes"):
        guard.judge((grey.images * 255).byte())
    with pytest.raises(InputTypeError, match=r"got a ndarray: torch\.from_numpy makes a tensor of an array"):
        guard.judge(grey.images.numpy())
    with pytest.raises(FileNotFoundError, match=r"nowhere\.png cannot be read .*: give the path of an image"):
        guard.judge("nowhere.png")
    with pytest.raises(IsADirectoryError, match=r"cannot be read .*: give the files in it"):
        guard.judge(tmp_path)
