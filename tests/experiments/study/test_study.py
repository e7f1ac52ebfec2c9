"""What the meta data of a result say."""

from importlib.metadata import version

from experiments.study import study


def test_a_package_that_is_not_installed_is_said_to_be_so(monkeypatch):
    monkeypatch.setattr(study, "PACKAGES", ("torch", "adversarial-saliency-of-a-clone"))

    versions = study.provenance(["evaluate.py", "speed"], {})["versions"]

    assert versions.pop("python")
    assert versions == {"torch": version("torch"), "adversarial-saliency-of-a-clone": "not installed"}
