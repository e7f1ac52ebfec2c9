import json
import sys

import pytest

from benchmarks import evaluation_memory


@pytest.mark.long
def test_the_peak_of_each_command_is_printed_and_written(tmp_path, monkeypatch, capsys):
    kept = tmp_path / "memory.json"
    words = ["evaluation_memory", "--images", "40", "--protocols", "strength", "shift", "--json", str(kept)]
    monkeypatch.setattr(sys, "argv", words)
    evaluation_memory.main()
    rows = json.loads(kept.read_text())["rows"]
    assert [(row["protocol"], row["images"]) for row in rows] == [("strength", 40), ("shift", 40)]
    assert all(100 < row["peak_mib"] < 4000 for row in rows)
    assert f"| strength | 40 | {rows[0]['peak_mib']:,.0f} |" in capsys.readouterr().out


def test_a_command_that_fails_is_told():
    with pytest.raises(RuntimeError, match=r"evaluate\.py nothing ended with status 2"):
        evaluation_memory._most("evaluate.py", "nothing")
