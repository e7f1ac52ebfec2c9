"""Reconstruction by an autoencoder of clean images (Meng & Chen, 2017)."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from attacks.checks import above_zero, at_least, at_most
from attacks.guard import evaluation_mode, gradients
from detectors.published.features import Features
from detectors.published.fitted import Clean, Fitted, empty_buffers
from saliency.checkpoints import Portable

_LAYERS = 3
_BATCH = 64
_CHUNK = 256


class MagNet(Fitted):
    r"""The reconstruction error of an autoencoder of clean images, and the resulting change of the classification.

    .. math::
        E(x) = \frac{1}{d} \lVert x - r(x) \rVert_p^p, \qquad
        D(x) = \mathrm{JSD}(\mathrm{softmax}(f(x) / T), \mathrm{softmax}(f(r(x)) / T))

    The score is the larger of the two, each standardised by its mean and standard deviation over the clean images. The
    autoencoder r has three convolutions of 3 x 3 without pooling, so that it fits images of any size; it is trained to
    remove Gaussian noise.

    Two things differ from the paper: it gives each detector a threshold of its own, and lets the classifier see the
    reconstruction (its reformer), which changes the classifier and not the detector.

    Published attacks: Carlini & Wagner (2017) break it with a slight increase in distortion (their abstract).

    Args:
        classifier: The attacked classifier.
        norm: p, 1 or 2.
        temperature: T, above 0; its authors have 10 and 40 on CIFAR-10.
        width: Channels of the hidden layers.
        noise: Standard deviation of the noise, in parts of the range of values; the authors' code has 0.1 on MNIST.
        epochs: Epochs of Adam, whose step size falls from `learning_rate` to 0.
        learning_rate: The first step size, above 0.

    Reference:
        Meng & Chen, "MagNet: a Two-Pronged Defense against Adversarial Examples", arXiv 1705.09064.
        Broken in Carlini & Wagner, "MagNet and 'Efficient Defenses Against Adversarial Attacks' are Not Robust to
        Adversarial Examples", arXiv 1711.08478.
    """

    scale: Tensor

    def __init__(
        self,
        classifier: Portable,
        norm: int = 1,
        temperature: float = 10.0,
        width: int = 8,
        noise: float = 0.1,
        epochs: int = 20,
        learning_rate: float = 0.01,
    ) -> None:
        super().__init__(classifier)
        at_least(1, norm=norm, width=width, epochs=epochs)
        at_most(2, norm=norm)
        at_least(0, noise=noise)
        above_zero(temperature=temperature, learning_rate=learning_rate)
        self.norm = norm
        self.temperature = temperature
        self.width = width
        self.noise = noise
        self.epochs = epochs
        self.learning_rate = learning_rate
        empty_buffers(self, "scale", *(f"{name}_{place}" for place in range(_LAYERS) for name in ("weight", "bias")))

    def fit(self, clean: Clean) -> None:
        """Train the autoencoder on clean images, from the same weights and in the same order every time."""
        outputs = self.gathered(clean)
        (images,) = outputs.layers
        with torch.random.fork_rng(devices=[]), gradients(self.fitted.device):
            torch.manual_seed(0)
            network = self._trained(images)
        for name, value in network.state_dict().items():
            place, kind = name.split(".")
            self.keep(**{f"{kind}_{int(place) // 2}": value})
        with torch.no_grad(), evaluation_mode(self.classifier):
            chunks = zip(torch.split(outputs.logits, _CHUNK), torch.split(images, _CHUNK), strict=True)
            device = self.fitted.device
            parts = torch.cat([self.parts(Features(rows.to(device), [chunk.to(device)])) for rows, chunk in chunks])
        self.keep(scale=torch.stack([parts.mean(0), parts.std(0).clamp(min=1e-12)]))

    def seen(self, images: Tensor) -> Features:
        """Return the logits, and the images themselves."""
        return Features(self.classifier(images), [images])

    def reconstructed(self, images: Tensor) -> Tensor:
        """Return the autoencoder's images (N, C, H, W) in [0, 1]."""
        for place in range(_LAYERS):
            weight, bias = getattr(self, f"weight_{place}"), getattr(self, f"bias_{place}")
            images = functional.conv2d(images, weight, bias, padding=1)
            images = images.relu() if place < _LAYERS - 1 else images.sigmoid()
        return images

    def parts(self, seen: Features) -> Tensor:
        """Return reconstruction error and divergence (N, 2)."""
        (images,) = seen.layers
        reconstructed = self.reconstructed(images)
        error = (images - reconstructed).abs().pow(self.norm).mean((1, 2, 3))
        logits = seen.logits / self.temperature, self.classifier(reconstructed) / self.temperature
        return torch.stack([error, divergence(*logits)], 1)

    def score(self, seen: Features) -> Tensor:
        """Return scores (N,): the larger of the two standardised parts."""
        mean, deviation = self.scale
        scores: Tensor = ((self.parts(seen) - mean) / deviation).amax(1)
        return scores

    def _trained(self, images: Tensor) -> nn.Sequential:
        """Return an autoencoder trained on images (M, C, H, W), on the classifier's device."""
        device, channels = self.fitted.device, images.shape[1]
        network = _autoencoder(channels, self.width).to(device)
        optimizer = torch.optim.Adam(network.parameters(), self.learning_rate)
        steps = self.epochs * math.ceil(len(images) / _BATCH)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(self.epochs):
            for rows in torch.split(torch.randperm(len(images)), _BATCH):
                wanted = images[rows]
                noisy = (wanted + self.noise * torch.randn_like(wanted)).clamp(0, 1)
                optimizer.zero_grad()
                torch.autograd.backward(functional.mse_loss(network(noisy.to(device)), wanted.to(device)))
                optimizer.step()
                schedule.step()
        return network


def divergence(first: Tensor, second: Tensor) -> Tensor:
    """Return the Jensen-Shannon divergence (N,), in nats, of the softmax of logits (N, K)."""
    one, other = first.log_softmax(1), second.log_softmax(1)
    middle = torch.logaddexp(one, other) - math.log(2)
    return ((one.exp() * (one - middle)).sum(1) + (other.exp() * (other - middle)).sum(1)) / 2


def _autoencoder(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, channels, 3, padding=1),
        nn.Sigmoid(),
    )
