"""A class path is imported, or refused in one sentence."""

import pytest

import attacks
from saliency.class_paths import imported


def test_what_a_path_names_is_returned():
    assert imported("attacks.FGSM") is attacks.FGSM
    assert imported("attacks.norms.l2") is attacks.norms.l2


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("FGSM", "No module named 'FGSM'"),
        ("no_such_module.Net", "No module named 'no_such_module'"),
        ("attacks.NoSuchAttack", "module 'attacks' has no attribute 'NoSuchAttack'. Did you mean 'attacks.Attack'?"),
        ("attacks.FGMS", "module 'attacks' has no attribute 'FGMS'. Did you mean 'attacks.FGSM'?"),
        ("attack.FGSM", "No module named 'attack'. Did you mean 'attacks.FGSM'?"),
        (
            ".attacks.FGSM",
            "TypeError: the 'package' argument is required to perform a relative import for '.attacks'. "
            "Did you mean 'attacks.FGSM'?",
        ),
        ("broken_module.Net", "ZeroDivisionError: division by zero"),
    ],
)
def test_what_cannot_be_imported_is_refused_with_the_reason(path, reason, tmp_path, monkeypatch):
    (tmp_path / "broken_module.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=f"class path '{path}' cannot be imported: ") as refusal:
        imported(path)
    assert str(refusal.value) == f"class path '{path}' cannot be imported: {reason}"
