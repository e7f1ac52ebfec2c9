"""Tables, figures and panels."""

import zlib

import pytest
import torch

from attacks import FGSM
from detectors.scoring import scores
from experiments.results.charts import heat_maps
from experiments.results.text import as_csv, markdown_table
from experiments.training.callbacks import map_grid


def test_csv_has_an_empty_cell_for_null():
    assert as_csv([{"a": 1, "b": None}, {"a": 0.5, "b": "x"}]) == "a,b\n1,\n0.5,x\n"


def test_markdown_has_three_decimals_and_a_dash_for_null():
    assert markdown_table(["a", "b"], [[0.12345, None]]) == "| a | b |\n| --- | --- |\n| 0.123 | - |\n"


def test_markdown_keeps_bars_in_their_cell():
    assert markdown_table(["a"], [["cat|dog"]]) == "| a |\n| --- |\n| cat\\|dog |\n"


def test_dollars_in_names_are_no_formulas():
    first, second = (heat_maps("title", {name: {"$a$": {"$b_$": 0.9}}}) for name in ("$x^$", "$y^$"))
    assert first != second


def test_heat_map_is_a_png_that_depends_on_the_numbers():
    first = heat_maps("title", {"spd": {"fgsm": {"fgsm": 0.9, "bim": None}}})
    second = heat_maps("title", {"spd": {"fgsm": {"fgsm": 0.6, "bim": None}}})
    assert first.startswith(b"\x89PNG")
    assert zlib.crc32(first) != zlib.crc32(second)
    assert first == heat_maps("title", {"spd": {"fgsm": {"fgsm": 0.9, "bim": None}}})


def test_map_grid_shows_images_maps_adversarial_images_and_their_maps(saliency, images):
    before = saliency.training
    grid = map_grid(saliency, images[:3], FGSM(epsilon=0.1))
    assert saliency.training == before
    assert grid.shape == (3, 4 * (96 + 2) + 2, 3 * (96 + 2) + 2)
    shown = grid[0, 2 : 2 + 96, 2 : 2 + 96]
    assert torch.equal(shown, images[0, 0].repeat_interleave(8, 0).repeat_interleave(8, 1))
    adversarial = FGSM(epsilon=0.1)(saliency.classifier, images[:3])
    second = grid[0, 2 + 2 * 98 : 2 + 2 * 98 + 96 : 8, 2 : 2 + 96 : 8]
    assert torch.equal(second, adversarial[0, 0])


def test_scores_do_not_depend_on_the_batch_size(images, classifier):
    class Mean(torch.nn.Module):
        def forward(self, batch):
            return classifier(batch)[:, 0]

    device = torch.device("cpu")
    assert torch.allclose(scores(Mean(), images, device, 3), scores(Mean(), images, device), atol=1e-6)
    assert scores(Mean(), images[:0], device).shape == (0,)


def test_scores_of_another_shape_are_refused(images, classifier):
    with pytest.raises(ValueError, match="one finite score per image"):
        scores(classifier, images, torch.device("cpu"))
