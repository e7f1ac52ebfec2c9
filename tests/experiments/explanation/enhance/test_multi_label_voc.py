"""Pascal VOC's photographs of several classes."""

import pytest

from data.decoding.decode import decode
from experiments.explanation.enhance.multi_label import read_voc
from tests.experiments.explanation.enhance.voc import write_voc

MIDDLE, EDGE = (20, 10, 40, 30), (0, 0, 8, 10)  # of 60 x 40 pixels, of which a square keeps columns 10 to 50
CLASSES = ("airplane", "Cat", "dog", "frog")


@pytest.fixture
def root(tmp_path):
    photographs = {
        "one": [("dog", MIDDLE), ("cat", MIDDLE), ("dog", MIDDLE)],
        "two": [("dog", MIDDLE), ("person", MIDDLE)],  # one class that is known
        "three": [("dog", MIDDLE), ("cat", EDGE)],  # the cat is cut off
        "four": [("aeroplane", MIDDLE), ("cat", MIDDLE), ("dog", MIDDLE)],
        "five": [],
    }
    return write_voc(tmp_path, photographs)


def test_photographs_with_two_known_classes(root):
    found = read_voc(root, (3, 16, 16), CLASSES, 10)
    assert found.classes == ((1, 2), (0, 1, 2))
    assert found.images.shape == (2, 3, 16, 16)
    expected = decode(str(root / "VOCdevkit/VOC2012/JPEGImages/four.jpg"), (3, 16, 16))
    assert (found.images[1] * 255).round().to(int).tolist() == expected.tolist()


def test_a_wide_image_keeps_what_a_square_cuts_off(root):
    assert read_voc(root, (3, 16, 24), CLASSES, 10).classes == ((1, 2), (1, 2), (0, 1, 2))


def test_at_most_so_many_and_of_the_classifiers_channels(root):
    found = read_voc(root, (1, 8, 8), CLASSES, 1)
    assert (found.images.shape, found.classes) == ((1, 1, 8, 8), ((1, 2),))


def test_nothing_is_read_beyond_the_photographs_wanted(root):
    (root / "VOCdevkit/VOC2012/Annotations/four.xml").write_text("<annotation>")
    assert read_voc(root, (1, 8, 8), CLASSES, 1).classes == ((1, 2),)


@pytest.mark.parametrize("contents", ["<annotation>", "<annotation><size><width>wide</width></size></annotation>"])
def test_a_malformed_annotation_is_named(root, contents):
    (root / "VOCdevkit/VOC2012/Annotations/two.xml").write_text(contents)
    with pytest.raises(ValueError, match=r"the annotation .*two\.xml is not Pascal VOC's XML \(.*\): unpack"):
        read_voc(root, (1, 8, 8), CLASSES, 10)


def test_what_is_missing_is_told(root, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Pascal VOC 2012 is not in .*VOCdevkit/VOC2012"):
        read_voc(tmp_path / "elsewhere", (3, 16, 16), CLASSES, 10)
    (root / "VOCdevkit/VOC2012/ImageSets/Main/val.txt").unlink()
    with pytest.raises(FileNotFoundError, match="Pascal VOC 2012 is not in"):
        read_voc(root, (3, 16, 16), CLASSES, 10)


def test_a_classifier_of_other_classes_is_told(root):
    with pytest.raises(ValueError, match="shows two classes of the classifier, which are 0, 1, 2"):
        read_voc(root, (3, 16, 16), ("0", "1", "2"), 10)
