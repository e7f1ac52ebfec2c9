"""Adversarial attacks in pure torch: immutable hyper-parameters, the model comes with the call."""

from attacks.adapter import Advertorch
from attacks.base import Attack, AttackResult
from attacks.gradient import BIM, FGSM, MIM

__all__ = ["BIM", "FGSM", "MIM", "Advertorch", "Attack", "AttackResult"]
