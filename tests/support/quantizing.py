"""How much of `quantize` runs: most of its time is stopwatches and what each layer costs, which no gate reads."""

import contextlib

import pytest

from x3ddeploy.precision import make_int8, quantize, search, verdict
from x3ddeploy.precision.accuracy import Agreement
from x3ddeploy.precision.search import Sensitivity
from x3ddeploy.precision.verdict import Verdict

_UNHURT = Agreement(kl=0.0, cosine=1.0, flips=0)


@contextlib.contextmanager
def briefly():
    """Without both: every block counts as unhurt, so which of them stay float for the budget's sake is arbitrary."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantize, "judge", lambda *arguments: Verdict((), (), ()))
        patch.setattr(quantize, "block_times", lambda *arguments: ())
        patch.setattr(make_int8, "will_not_pay", lambda *arguments: "")
        patch.setattr(make_int8, "measure_sensitivity", lambda _, units: [Sensitivity(unit, _UNHURT) for unit in units])
        yield


@contextlib.contextmanager
def with_sensitivities():
    """What each layer costs is measured again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make_int8, "measure_sensitivity", search.measure_sensitivity)
        yield


@contextlib.contextmanager
def whole():
    """As users have it; the stopwatches take a few rounds, of which every figure can be made."""
    with with_sensitivities(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(verdict, "_ROUNDS", 5)
        patch.setattr(verdict, "_FORETOLD_SECONDS", 0.1)
        patch.setattr(make_int8, "will_not_pay", verdict.will_not_pay)
        patch.setattr(quantize, "judge", verdict.judge)
        patch.setattr(quantize, "block_times", verdict.block_times)
        yield
