"""Experiments: the run folder, the pipeline, the protocols and their report."""

from experiments.panels import MapPanel

__all__ = ["MapPanel"]
