"""A process that has run networks takes signals as before, and so do its copies, as PyTorch's DataLoader makes them."""

import gc

import pytest
from support.copies import exit_code_of_copy, take_a_signal

from x3ddeploy.runtimes.registry import open_session


class _Cycle:
    def __init__(self, session):
        self.session, self.itself = session, self


@pytest.mark.openvino
def test_signals_reach_python_after_sessions_were_closed_in_the_order_in_which_they_were_opened(bundle):
    first, second = (open_session("openvino", bundle / "head.onnx") for _ in range(2))
    first.close()
    second.close()
    assert exit_code_of_copy(take_a_signal) == 0


@pytest.mark.parametrize("runtime", ["onnxruntime", pytest.param("openvino", marks=pytest.mark.openvino)])
def test_a_copy_leaves_the_sessions_of_its_parent_alone(bundle, runtime):
    gc.disable()
    try:
        _Cycle(open_session(runtime, bundle / "head.onnx", threads=4))

        def collect():
            _Cycle(None)
            return 0 if gc.collect() else 1  # what the copy made is collected

        assert exit_code_of_copy(collect) == 0
    finally:
        gc.enable()
