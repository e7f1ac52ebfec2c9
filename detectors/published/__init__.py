"""Published detectors to benchmark, a file each, with the published attacks on them."""

from detectors.published.dropout_uncertainty import DropoutUncertainty
from detectors.published.extra_class import ExtraClass
from detectors.published.feature_head import FeatureHead
from detectors.published.feature_squeezing import FeatureSqueezing
from detectors.published.fitted import Fitted, FittedDetector
from detectors.published.intrinsic_dimensionality import LocalIntrinsicDimensionality
from detectors.published.kernel_density import KernelDensity
from detectors.published.magnet import MagNet
from detectors.published.mahalanobis import Mahalanobis
from detectors.published.nearest_neighbours import DeepNearestNeighbours
from detectors.published.odds import Odds
from detectors.published.prediction_inconsistency import PredictionInconsistency
from detectors.published.principal_components import PrincipalComponents
from detectors.published.scene_statistics import SceneStatistics
from detectors.published.spectral import Spectral
from detectors.published.weighted import WeightedLocalIntrinsicDimensionality, WeightedMahalanobis

__all__ = [
    "DeepNearestNeighbours",
    "DropoutUncertainty",
    "ExtraClass",
    "FeatureHead",
    "FeatureSqueezing",
    "Fitted",
    "FittedDetector",
    "KernelDensity",
    "LocalIntrinsicDimensionality",
    "MagNet",
    "Mahalanobis",
    "Odds",
    "PredictionInconsistency",
    "PrincipalComponents",
    "SceneStatistics",
    "Spectral",
    "WeightedLocalIntrinsicDimensionality",
    "WeightedMahalanobis",
]
