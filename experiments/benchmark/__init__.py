"""The benchmark of one detector in one call: `benchmark(detector, classifier, data)`."""

from experiments.benchmark.call import PRESETS, benchmark
from experiments.benchmark.card import check_card, read_card
from experiments.benchmark.report import Figure, Report

__all__ = ["PRESETS", "Figure", "Report", "benchmark", "check_card", "read_card"]
