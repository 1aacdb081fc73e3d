"""Every notebook runs, each in a kernel of its own, as readers run them. A service starts processes that would import a script."""

import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import jupytext
import nbformat
import psutil
import pytest
from nbclient import NotebookClient
from traitlets.config import Config

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
SECONDS = 100  # many times what it takes, for a busy machine


@contextmanager
def nothing_left(client):
    """Whatever a notebook that fails has started ends with it; a worker and a Redis are sessions of their own, and would stay."""
    with client.setup_kernel():
        kernel = psutil.Process(client.km.provisioner.pid)
        try:
            yield
        except BaseException:
            for process in (kernel, *kernel.children(recursive=True)):  # the kernel first, for it would start the others again
                process.kill()
            raise


@pytest.fixture
def environment(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("RHEOSTAT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")


def printed(cell):
    """What a cell has written to stdout."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")


def pictures(cell):
    """How many figures it shows."""
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
@pytest.mark.usefixtures("environment")
def test_a_notebook_runs_to_its_conclusion(file):
    notebook = jupytext.read(file)
    ipc = Config(KernelManager={"transport": "ipc"})  # so that nobody else may speak to the kernel
    client = NotebookClient(notebook, timeout=SECONDS, config=ipc, resources={"metadata": {"path": str(ROOT)}})
    began = time.monotonic()
    with nothing_left(client):
        for place, cell in enumerate(notebook.cells):
            client.execute_cell(cell, place)
    assert time.monotonic() - began < SECONDS
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(map(pictures, code)) == 1
    assert "assert " in code[-1].source
    assert printed(code[-1]).splitlines()[-1].startswith("Conclusion: ")


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_notebook_begins_with_its_title_and_its_question(file):
    first = jupytext.read(file).cells[0]
    assert first.cell_type == "markdown"
    title, *_ = first.source.splitlines()
    assert title.startswith("# ")
    (question,) = [line for line in first.source.split("\n\n") if line.startswith("**Question.** ")]
    assert question.rstrip().endswith("?")


def test_the_table_lists_them():
    listed = (ROOT / "notebooks" / "README.md").read_text()
    assert [file.name for file in NOTEBOOKS if f"[{file.name}]({file.name})" not in listed] == []
    assert len(NOTEBOOKS) == listed.count("\n| [")


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_nothing_but_text_is_kept(file):
    notebook = jupytext.read(file)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
