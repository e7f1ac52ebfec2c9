import pytest
import torch

from attacks import BIM, FGSM, DeepFool, OneOf, OrthogonalPGD

WEAK, STRONG = FGSM(epsilon=0.02), BIM(epsilon=0.2, step_size=0.05, steps=5)


def test_each_image_meets_one_of_the_attacks(classifier):
    images = torch.rand(60, 1, 12, 12)
    both = [attack(classifier, images) for attack in (WEAK, STRONG)]
    drawn = OneOf(attacks=(WEAK, STRONG))(classifier, images)
    by = torch.stack([(drawn == each).flatten(1).all(1) for each in both])
    assert torch.equal(by.sum(0), torch.ones(60, dtype=torch.long))
    assert 15 < by[0].sum() < 45


def test_nested_ones_draw_for_themselves(classifier):
    images = torch.rand(200, 1, 12, 12)
    leaves = [FGSM(epsilon=epsilon) for epsilon in (0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08)]
    pairs = [OneOf(attacks=leaves[i : i + 2]) for i in range(0, 8, 2)]
    nested = OneOf(attacks=(OneOf(attacks=pairs[:2]), OneOf(attacks=pairs[2:])))
    drawn = nested(classifier, images)
    by = torch.stack([(drawn == leaf(classifier, images)).flatten(1).all(1) for leaf in leaves])
    assert torch.equal(by.sum(0), torch.ones(200, dtype=torch.long))
    assert (by.sum(1) > 10).all()
    assert torch.equal(nested(classifier, images[50:60]), drawn[50:60])


def test_norm_is_that_of_all_attacks_or_none():
    assert OneOf(attacks=(WEAK, STRONG)).norm_family == "linf"
    assert OneOf(attacks=(WEAK, DeepFool())).norm_family is None


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
