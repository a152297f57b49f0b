"""A run that cannot recover stops and says what was seen; one that can goes on."""

from types import SimpleNamespace

import pytest

from x3ddeploy.mmaction_compat import import_everything

import_everything()

from x3ddeploy.training.divergence import DivergedError, DivergenceHook  # noqa: E402


@pytest.fixture
def runner(tmp_path):
    checkpoint = tmp_path / "epoch_3.pth"
    checkpoint.touch()
    (tmp_path / "last_checkpoint").write_text(str(checkpoint))
    return SimpleNamespace(
        work_dir=str(tmp_path), epoch=3, iter=40, optim_wrapper=SimpleNamespace(get_lr=lambda: {"lr": [0.012]})
    )


def see(hook, runner, **logged):
    hook.after_train_iter(runner, 0, outputs=logged)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run(runner, value):
    hook = DivergenceHook()
    see(hook, runner, loss=3.5)
    with pytest.raises(DivergedError) as error:
        see(hook, runner, loss=value, pose_loss_cls=value)
    text = str(error.value)
    for words in ("epoch 4, iteration 41", f"pose_loss_cls is {value}", "before: 3.5", "0.012", "epoch_3.pth"):
        assert words in text


def test_a_pose_branch_that_stays_collapsed_stops_the_run(runner):
    hook = DivergenceHook(window=3)
    for _ in range(2):
        see(hook, runner, loss=1.0, pose_variation=0.0, rgb_variation=0.1)
    with pytest.raises(DivergedError, match="the pose branch has collapsed"):
        see(hook, runner, loss=1.0, pose_variation=0.0, rgb_variation=0.1)


def test_a_collapse_that_passes_does_not_stop_the_run(runner):
    hook = DivergenceHook(window=3)
    for variation in (0.0, 0.0, 0.2, 0.0, 0.0):
        see(hook, runner, loss=1.0, pose_variation=variation)


@pytest.mark.parametrize(
    ("variation", "iterations", "stops"), [(0.99e-4, 200, True), (0.99e-4, 199, False), (1.01e-4, 200, False)]
)
def test_a_collapse_is_200_iterations_under_a_ten_thousandth(runner, variation, iterations, stops):
    hook = DivergenceHook()
    for _ in range(iterations - 1):
        see(hook, runner, loss=1.0, pose_variation=variation)
    if stops:
        with pytest.raises(DivergedError):
            see(hook, runner, loss=1.0, pose_variation=variation)
    else:
        see(hook, runner, loss=1.0, pose_variation=variation)


def test_other_models_are_watched_for_their_loss_alone(runner):
    hook = DivergenceHook(window=1)
    see(hook, runner, loss=1.0, grad_norm=1.0)


def test_without_a_checkpoint_the_error_says_so(runner, tmp_path):
    (tmp_path / "epoch_3.pth").unlink()
    with pytest.raises(DivergedError, match="last good checkpoint: none"):
        see(DivergenceHook(), runner, loss=float("nan"))
