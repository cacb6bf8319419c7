"""Nothing that turns data into code is called anywhere: pickles, eval, remote code, shells, unpacking to a disk."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = (
    "dataclaw", "deployments", "flows", "tasks", "benchmark", "training",
    "synthesis", "experts", "sources", "storage", "schemas",
)  # fmt: skip
FILES = sorted(path for layer in LAYERS for path in (ROOT / layer).rglob("*.py"))
NEVER = {
    "eval", "exec", "pickle.load", "pickle.loads", "cloudpickle.load", "cloudpickle.loads", "joblib.load", "dill.load",
    "dill.loads", "marshal.load", "marshal.loads", "shelve.open", "yaml.load", "yaml.unsafe_load", "yaml.full_load",
    "os.system", "os.popen", "np.load", "numpy.load", "pd.read_pickle", "pandas.read_pickle", "tempfile.mktemp",
}  # fmt: skip
UNPICKLERS = {"sources/drawings.py"}
"""An unpickler of its own that builds arrays of numbers alone (tests/sources/test_drawings.py)."""


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keyword(call: ast.Call, name: str) -> object:
    """The literal under a keyword; None where there is none, the source where it is no literal."""
    for given in call.keywords:
        if given.arg == name:
            return given.value.value if isinstance(given.value, ast.Constant) else ast.unparse(given.value)
    return None


def offences(path: Path) -> Iterator[str]:
    for name, call in calls(path):
        where = f"{path.relative_to(ROOT)}:{call.lineno}: {name}"
        if name in NEVER:
            yield where
        elif name == "torch.load" and keyword(call, "weights_only") is not True:
            yield f"{where} without weights_only=True"
        elif name.endswith((".extractall", ".extract")) and name.split(".")[0] in {"tar", "archive", "zip", "file"}:
            yield f"{where} unpacks to a disk"
        if keyword(call, "trust_remote_code") not in (None, False):
            yield f"{where} runs code from a hub"
        if keyword(call, "allow_pickle") not in (None, False):
            yield f"{where} unpickles"
        if keyword(call, "shell") not in (None, False):
            yield f"{where} runs a shell"
        if name.endswith("Unpickler") and path.relative_to(ROOT).as_posix() not in UNPICKLERS:
            yield f"{where} unpickles"


@pytest.mark.parametrize("layer", LAYERS)
def test_no_module_makes_code_of_data(layer: str) -> None:
    assert not [found for path in FILES if path.relative_to(ROOT).parts[0] == layer for found in offences(path)]


@pytest.mark.parametrize(
    "line",
    [
        "pickle.loads(x)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "np.load(x, allow_pickle=True)",
        "yaml.load(x)",
        "AutoModel.from_pretrained(x, trust_remote_code=True)",
        "AutoModel.from_pretrained(x, trust_remote_code=given)",
        "subprocess.run(x, shell=True)",
        "tar.extractall(x)",
        "eval(x)",
        "pickle.Unpickler(x)",
    ],
)
def test_what_is_looked_for_is_found(tmp_path: Path, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    path = tmp_path / "a.py"
    path.write_text(line)
    assert len(list(offences(path))) >= 1
    path.write_text("torch.load(x, weights_only=True)\nyaml.safe_load(x)\nmodel.eval()\nsubprocess.run(x)")
    assert not list(offences(path))
