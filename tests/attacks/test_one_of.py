import pytest
import torch

from attacks import BIM, FGSM, OneOf, OrthogonalPGD

WEAK, STRONG = FGSM(epsilon=0.02), BIM(epsilon=0.2, step_size=0.05, steps=5)


def test_each_image_meets_one_of_the_attacks(classifier):
    images = torch.rand(60, 1, 12, 12)
    both = [attack(classifier, images) for attack in (WEAK, STRONG)]
    drawn = OneOf(attacks=(WEAK, STRONG))(classifier, images)
    by = torch.stack([(drawn == each).flatten(1).all(1) for each in both])
    assert torch.equal(by.sum(0), torch.ones(60, dtype=torch.long))
    assert 15 < by[0].sum() < 45


def test_lists_of_configs_become_tuples_so_that_it_can_be_compared_and_hashed():
    assert hash(OneOf(attacks=[WEAK])) == hash(OneOf(attacks=(WEAK,)))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"attacks": ()}, "attacks is empty: name at least one to draw from"),
        ({"attacks": (OrthogonalPGD(epsilon=0.1),)}, "OrthogonalPGD goes against a detector as well"),
        ({"attacks": (WEAK, FGSM(epsilon=0.1, targeted=True))}, "OneOf has targeted=False and its FGSM targeted=True"),
    ],
)
def test_what_cannot_be_drawn_from_is_refused(arguments, told):
    with pytest.raises(ValueError, match=told):
        OneOf(**arguments)
