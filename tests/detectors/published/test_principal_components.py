import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from detectors.published import PrincipalComponents
from tests.fixtures import SHAPE


def test_score_is_the_mean_square_of_the_late_coefficients_of_scikit_learn(classifier, images):
    clean = torch.rand(400, *SHAPE, generator=torch.Generator().manual_seed(2))
    detector = PrincipalComponents(classifier, share=0.3, epsilon=1e-9)
    detector.fit([(clean[:200], torch.zeros(200)), (clean[200:], torch.zeros(200))])
    oracle = PCA(whiten=True, svd_solver="full").fit(clean.flatten(1).double().numpy())
    coefficients = oracle.transform(images.flatten(1).double().numpy())[:, -43:]
    np.testing.assert_allclose(detector(images).detach().numpy(), np.square(coefficients).mean(1), rtol=1e-3)


def test_clean_images_score_one_on_average(classifier):
    clean = torch.rand(400, *SHAPE, generator=torch.Generator().manual_seed(2))
    detector = PrincipalComponents(classifier)
    detector.fit([(clean, torch.zeros(400))])
    assert detector(clean).mean().item() == pytest.approx(1, abs=0.01)


def test_a_pixel_that_never_changes_gives_the_constant_alone(classifier, whole):
    clean = whole[0].clone()
    clean[:, :, 0] = 0
    detector = PrincipalComponents(classifier, share=1 / 144, epsilon=1e-4)
    detector.fit([(clean, whole[1])])
    assert detector(clean).abs().max() < 1e-3
    assert torch.linalg.vector_norm(detector.whitening).item() == pytest.approx(100, rel=1e-3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"share": 0.0}, "share must be finite and above 0"),
        ({"share": 1.5}, "share must be at most 1"),
        ({"epsilon": 0.0}, "epsilon must be finite and above 0"),
    ],
)
def test_bad_options_are_refused(options, message, classifier):
    with pytest.raises(ValueError, match=message):
        PrincipalComponents(classifier, **options)


def test_one_image_is_too_few(classifier, whole):
    with pytest.raises(ValueError, match="images must be at least 2, got 1"):
        PrincipalComponents(classifier).fit([(whole[0][:1], whole[1][:1])])
