"""A small trained net and the images that it gets right, made once."""

import pytest

from tests.attacks.minimal import trained_net


@pytest.fixture(scope="session")
def trained():
    """A net of six classes in single precision, 48 images, and its predictions."""
    net, images = trained_net(48)
    return net, images, net(images).argmax(1)
