"""What loops over steps share: who leaves when, and what is kept."""

import torch

from attacks import loop
from attacks.loop import Left, Shortest, steps_between_looks
from attacks.norms import column
from attacks.problem import Problem


def test_loops_look_after_every_step_on_the_cpu_and_less_often_on_devices():
    assert steps_between_looks(torch.device("cpu")) == 1
    assert steps_between_looks(torch.device("cuda", 1)) > 1


def test_images_that_are_done_leave_at_the_next_look(linear, images, labels, monkeypatch):
    monkeypatch.setattr(loop, "steps_between_looks", lambda _device: 3)
    left = Left(Problem(linear, images, labels))
    rows = torch.tensor([1, 4, 6])
    seen = []
    for done in ([True, False, False], [False, False, True], [False] * 3, [False, True, False]):
        left.leave(rows, torch.tensor(done))
        looks = left.looks
        assert left.end_step() == looks
        seen.append((looks, left.rows.tolist()))
    rest = [0, 2, 3, 4, 5, 7]
    assert seen == [(False, [*range(8)]), (False, [*range(8)]), (True, rest), (False, rest)]
    assert left.done(torch.tensor([4, 1, 0])).tolist() == [True, True, False]
    assert len(left) == 6
    assert torch.cat([*left.batches()]).tolist() == rest


def test_shortest_adversarial_image_is_kept_and_the_image_itself_without_one(images):
    shortest = Shortest(images)
    rows = torch.tensor([5, 2, 0])
    hit = torch.tensor([True, True, False])
    for lengths in torch.tensor([[3.0, 1.0, 1.0], [2.0, 1.5, 2.0]]):
        shortest.offer(rows, column(lengths).expand(3, *images.shape[1:]), lengths, hit)
    expected = images.clone()
    expected[5], expected[2] = 2.0, 1.0
    assert torch.equal(shortest.points, expected)
    assert shortest.lengths.tolist() == [torch.inf, torch.inf, 1.0, torch.inf, torch.inf, 2.0, torch.inf, torch.inf]
