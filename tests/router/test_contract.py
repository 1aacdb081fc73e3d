"""The generated code is what the contract says, and the contract is well formed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

PROTO = Path(__file__).parents[2] / "proto"


def _files(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file() and "__pycache__" not in path.parts}


def test_generated_code_is_up_to_date(tmp_path):
    subprocess.run([PROTO / "generate.sh", tmp_path / "gen"], check=True, env={**os.environ, "PYTHON": sys.executable})
    fresh, committed = _files(tmp_path / "gen"), _files(PROTO / "gen")
    assert fresh.keys() == committed.keys()
    assert [name for name in fresh if fresh[name] != committed[name]] == []


def _lint(folder):
    buf = shutil.which("buf", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    assert buf, "buf-bin is in the dependency group `proto`"
    return subprocess.run([buf, "lint"], cwd=folder, capture_output=True, text=True, check=False, timeout=60)


def test_contract_lints():
    result = _lint(PROTO)
    assert (result.returncode, result.stdout) == (0, "")


def test_lint_would_notice_a_missing_comment(tmp_path):
    shutil.copytree(PROTO, tmp_path / "proto")
    usage = tmp_path / "proto/rheostat/v1/usage.proto"
    usage.write_text(usage.read_text().replace("  // Tokens read.\n", ""))
    assert "prompt_tokens" in _lint(tmp_path / "proto").stdout
