"""What is dear to make and never changed is made once a test run, however many processes the run has."""

import json
import os

from x3ddeploy.locks import locked


def root_of(tmp_path_factory):
    """The folder of all that the test run writes, in whichever of its processes."""
    root = tmp_path_factory.getbasetemp()
    return root.parent if "PYTEST_XDIST_WORKER" in os.environ else root


def once(tmp_path_factory, name, make):
    """The folder of that name, filled by `make` in the first process that asks for it, and what `make` gave.

    Args:
        tmp_path_factory: pytest's.
        name: name of the folder; one name is one thing in the whole run. Tests must not change what is in it.
        make: fills the folder, which is its argument; gives something that JSON has.
    """
    root = root_of(tmp_path_factory)
    folder, lock, made = root / "shared" / name, root / "shared" / f"{name}.lock", root / "shared" / f"{name}.json"
    lock.mkdir(parents=True, exist_ok=True)
    with locked(lock):
        if not made.exists():
            folder.mkdir(exist_ok=True)
            made.write_text(json.dumps(make(folder)))
    return folder, json.loads(made.read_text())
