"""A confusion matrix of as many classes is drawn once a process: each `eval` draws one for every runtime and precision.

What a picture shows is tested where one is drawn by itself (tests/evaluation/test_confusion_plot.py).
"""

import contextlib

import pytest

from x3ddeploy.atomic import write_bytes
from x3ddeploy.evaluation import plot


@contextlib.contextmanager
def drawn_once():
    """What `eval` draws in this process is the first picture of that format and number of classes."""
    draw = plot.plot_confusions
    known: dict[tuple[str, int], bytes] = {}

    def remembered(path, confusions, names, title):
        key = (path.suffix, len(names))
        if key in known:
            write_bytes(path, known[key])
        else:
            draw(path, confusions, names, title)
            known[key] = path.read_bytes()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plot, "plot_confusions", remembered)
        yield
