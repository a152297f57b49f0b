"""A training that is killed, or whose disk is full, at any write of a checkpoint: whole files, and none lost."""

from itertools import count
from types import SimpleNamespace

import pytest
from support.disk_faults import full_at, killed_at
from support.present import present

from x3ddeploy.errors import X3DDeployError
from x3ddeploy.mmaction_compat import import_everything

import_everything()

from mmengine import fileio  # noqa: E402

from x3ddeploy.training.checkpoints import CheckpointHook  # noqa: E402
from x3ddeploy.training.divergence import last_checkpoint  # noqa: E402

CONTENT = b"weights"


def trained(work_dir, epochs):
    """MMEngine's calls of the hook, epoch after epoch; each is better than the one before."""
    known: dict[str, object] = {}
    hub = SimpleNamespace(runtime_info=known, get_info=known.get, update_info=known.__setitem__)
    runner = SimpleNamespace(
        work_dir=str(work_dir), epoch=0, iter=0, message_hub=hub, logger=SimpleNamespace(info=lambda text: None)
    )

    def save(folder, filename, file_client_args=None, *, backend_args=None, **_):
        fileio.put(CONTENT * (runner.epoch + 1), f"{folder}/{filename}", backend_args=backend_args)

    runner.save_checkpoint = save
    hook = CheckpointHook(interval=1, max_keep_ckpts=1, save_best="top1", rule="greater")
    hook.before_train(runner)
    for epoch in range(epochs):
        hook._save_checkpoint(runner)
        runner.epoch = epoch + 1
        hook.after_val_epoch(runner, {"top1": float(epoch)})


def whole(files):
    """Whether there are files, and each is all of what was written."""
    contents = [file.read_bytes() for file in files]
    return bool(contents) and all(content == CONTENT * (len(content) // len(CONTENT)) for content in contents)


@pytest.mark.parametrize("fault", [killed_at, full_at])
def test_the_last_and_the_best_checkpoint_are_the_old_or_the_new_ones(tmp_path, fault):
    for at in count(1):
        work_dir = tmp_path / str(at)
        work_dir.mkdir()
        trained(work_dir, 1)
        found = fault(at, lambda folder=work_dir: trained(folder, 2))
        problem, came_so_far = found if fault is full_at else (None, found)
        if not came_so_far:
            break
        assert problem is None or isinstance(problem, X3DDeployError), problem
        assert whole(work_dir.glob("epoch_*.pth"))
        assert whole(work_dir.glob("best_*.pth"))
        assert last_checkpoint(work_dir) in set(work_dir.glob("epoch_*.pth"))
        trained(work_dir, 2)
        assert whole([last_checkpoint(work_dir)])
        assert present(last_checkpoint(work_dir)).name == "epoch_2.pth"
        assert not list(work_dir.glob(".*.partial"))
    assert at > 20


def test_a_note_that_a_kill_left_empty_hides_no_checkpoint(tmp_path):
    trained(tmp_path, 2)
    (tmp_path / "last_checkpoint").write_text("")
    assert last_checkpoint(tmp_path) == tmp_path / "epoch_2.pth"
