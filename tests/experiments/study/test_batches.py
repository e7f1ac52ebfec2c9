"""The loop over batches."""

import torch
from rich.progress import Progress
from torch import nn

from experiments.study.batches import batches, in_batches, predictions

CPU = torch.device("cpu")


def test_batches_hold_corresponding_rows_and_keep_what_is_none():
    images, labels = torch.arange(5), torch.arange(5) * 10
    parts = list(batches(images, None, labels, device=CPU, size=2))
    assert [part[0].tolist() for part in parts] == [[0, 1], [2, 3], [4]]
    assert [part[2].tolist() for part in parts] == [[0, 10], [20, 30], [40]]
    assert {part[1] for part in parts} == {None}


def test_no_rows_make_one_empty_batch():
    assert in_batches(lambda batch: batch + 1, torch.empty(0, 3), device=CPU).shape == (0, 3)


def test_outputs_are_joined_in_order_and_the_bar_is_removed():
    progress = Progress(disable=True)
    seen = []

    def count(batch):
        seen.append((len(batch), [task.description for task in progress.tasks]))
        return batch * 2

    result = in_batches(count, torch.arange(3), device=CPU, size=2, progress=progress, about="doubling")
    assert result.tolist() == [0, 2, 4]
    assert seen == [(2, ["doubling"]), (1, ["doubling"])]
    assert progress.tasks == []


def test_predictions_are_the_classes_of_all_images():
    assert predictions(nn.Flatten(), torch.eye(5).view(5, 1, 1, 5), CPU, 2).tolist() == [0, 1, 2, 3, 4]
