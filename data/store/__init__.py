"""Adversarial sets, made once and shared; the identity of what they depend on."""
