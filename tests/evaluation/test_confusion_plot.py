"""The picture of a confusion matrix is written whole, in the format asked for, whatever the classes are called."""

import numpy as np
import pytest

from x3ddeploy.errors import MissingRequirementError
from x3ddeploy.evaluation import plot
from x3ddeploy.evaluation.plot import plot_confusions

MATRIX = np.array([[3, 1, 0], [0, 2, 2], [0, 0, 0]])
NAMES = ["wave $x_", "a name of more letters than there is room for", "手"]


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_a_matrix_is_drawn(tmp_path, suffix, start):
    pytest.importorskip("matplotlib")
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        plot_confusions(path, MATRIX, NAMES, "fused 1:1, $ videos")
    first, second = (path.read_bytes() for path in paths)
    assert first.startswith(start)
    assert first == second  # a report in version control changes only with its numbers
    assert sorted(tmp_path.iterdir()) == paths


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(plot, "can_plot", lambda: False)
    with pytest.raises(MissingRequirementError, match=r"x3ddeploy\[plot\]") as caught:
        plot_confusions(tmp_path / "a.png", MATRIX, NAMES, "")
    assert caught.value.exit_code == 4
