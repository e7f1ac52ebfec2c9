"""The notebook of examples/ runs from top to bottom, and shows what it says."""

import nbformat
import pytest
from nbclient import NotebookClient

from tests.documents.pages import ROOT
from tests.documents.place import RUN, untrained_run


@pytest.mark.long
def test_the_notebook_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    untrained_run(tmp_path / RUN)
    (tmp_path / "examples").mkdir()
    notebook = nbformat.read(ROOT / "examples/getting_started.ipynb", as_version=4)
    shown = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path / "examples")}}).execute()
    made = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    assert [[each.output_type for each in outputs] for outputs in made] == [
        [each.output_type for each in outputs] for outputs in shown
    ]
    assert "AUROC" in made[-1][0].text
