"""Graphs that are the same to the last byte are loaded once a process: loading a small one takes ten times a run.

Where nobody says how many threads, one runs it: a second one looks for work that small graphs do not have.
"""

import contextlib
import hashlib
import importlib.util
from collections import OrderedDict
from threading import Lock

import pytest

from x3ddeploy.runtimes import onnxruntime_session

_LARGEST = 4 << 20  # larger models are not kept
_KEPT = 64
_OPTIONS = ("intra_op_num_threads", "enable_cpu_mem_arena", "graph_optimization_level", "log_severity_level")


@contextlib.contextmanager
def opened_once():
    """What sessions on the CPU load in this process is shared by those of the same graph and options."""
    with pytest.MonkeyPatch.context() as patch:
        _share_onnxruntime(patch)
        if importlib.util.find_spec("openvino"):
            _share_openvino(patch)
        yield


class _Kept:
    """What was made last, by its key; an export opens its graphs in threads."""

    def __init__(self):
        self._made, self._lock = OrderedDict(), Lock()

    def get(self, key, make):
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            self._made.move_to_end(key)
            while len(self._made) > _KEPT:
                self._made.popitem(last=False)
            return self._made[key]


def _share_onnxruntime(patch):
    load, kept = onnxruntime_session._cpu_session, _Kept()

    def session(model, options):
        options.intra_op_num_threads = options.intra_op_num_threads or 1
        if len(model) > _LARGEST:
            return load(model, options)
        key = (_digest(model), *(str(getattr(options, name)) for name in _OPTIONS))
        return kept.get(key, lambda: load(model, options))

    patch.setattr(onnxruntime_session, "_cpu_session", session)


def _share_openvino(patch):
    from x3ddeploy.runtimes import openvino_session

    read, compile_anew, kept = openvino_session.read, openvino_session.compiled, _Kept()

    def marked(model):
        graph = read(model)
        graph.digest = _digest(model) if len(model) <= _LARGEST else None
        return graph

    def compiled(graph, threads, device="CPU"):
        if device == "CPU":
            threads = threads or 1
        digest = getattr(graph, "digest", None)
        if digest is None:
            return compile_anew(graph, threads, device)
        return kept.get((digest, threads, device), lambda: compile_anew(graph, threads, device))

    patch.setattr(openvino_session, "read", marked)
    patch.setattr(openvino_session, "compiled", compiled)


def _digest(model):
    return hashlib.sha256(model).digest()
