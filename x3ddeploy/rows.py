"""Rows of a long run on disk, item by item (a video, a clip), so that a run that was cut off goes on from there.

`NAME.jsonl` is a file of JSON lines. `NAME.parquet` is a folder of Parquet files, each of which is whole or absent.
Beside its own columns every row says how many `rows` its item has, by which an item is known to be whole, and of which
`run` it is, so that rows of other settings do not get among them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any

from x3ddeploy.atomic import explain_os_errors, write_bytes
from x3ddeploy.errors import DataError, MissingRequirementError, UsageError, X3DDeployError
from x3ddeploy.locks import claim_alone

Row = Mapping[str, Any]
Keep = Callable[[str, Sequence[Row]], None]
Schema = Callable[[Any], Any]

_START = b'{"schema_version"'  # of every line
# A Parquet file is written when so many rows or seconds have gathered; what is newer is lost with a killed process.
_PART_ROWS = 5000
_PART_S = 60.0


def run_of(settings: Mapping[str, Any]) -> str:
    """A short name for everything that rows depend on, equal for equal settings."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]


def open_rows(path: Path, key: str, run: str, keep: Keep, schema: Schema) -> Rows:
    """Open a file or folder of rows, which is made where it is not there; `with` closes it.

    Args:
        path: its name ends in .jsonl or .parquet.
        key: column that names an item.
        run: see `run_of`.
        keep: receives the name and the rows of every item that is there and whole.
        schema: Parquet's schema: from the module pyarrow to its schema of the rows.

    Raises:
        UsageError: another ending; what is there is of another run, or no rows at all.
        DataError: what is there is damaged.
        MissingRequirementError: Parquet without pyarrow.
        X3DDeployError: another process writes there, or nothing can be written there.
    """
    kinds: dict[str, type[Rows]] = {".jsonl": _JsonLines, ".parquet": _Parquet}
    if path.suffix not in kinds:
        raise UsageError(f"{path} names no form of rows", hint=f"its name ends in {' or '.join(kinds)}")
    return kinds[path.suffix](path, key, run, keep, schema)


class Rows(ABC):
    """Rows in a file or folder, as `open_rows` opens it."""

    def __init__(self, path: Path, key: str, run: str, keep: Keep, schema: Schema) -> None:
        self._path, self._key, self._run, self._schema = path, key, run, schema
        self._prepare()
        with explain_os_errors(path):
            claimed = claim_alone(path)
        if claimed is None:
            raise X3DDeployError(f"another command writes {path}", hint="wait for its end, or name another place")
        self._claimed = claimed
        try:
            self._read(keep)
        except BaseException:
            os.close(claimed)
            raise

    def add(self, rows: Sequence[Row]) -> None:
        """Write the rows of one item; there is at least one."""
        with explain_os_errors(self._path):
            self._add([{**row, "run": self._run, "rows": len(rows)} for row in rows])

    def close(self) -> None:
        """Write what has gathered."""
        try:
            with explain_os_errors(self._path):
                self._finish()
        finally:
            os.close(self._claimed)

    def __enter__(self) -> Rows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @abstractmethod
    def _prepare(self) -> None:
        """Make what is not there yet."""

    @abstractmethod
    def _read(self, keep: Keep) -> None:
        """Read what is there, and be ready to add to it."""

    @abstractmethod
    def _add(self, rows: Sequence[Row]) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...

    def _item(self, row: Any, where: str) -> tuple[str, int]:
        """Name of the item that a row belongs to, and how many rows that has."""
        match row:
            case {"run": str(run), "rows": int(rows), **rest} if isinstance(name := rest.get(self._key), str):
                if run == self._run:
                    return name, rows
                raise UsageError(
                    f"{where} is of a run with other settings ({run}, and this is {self._run})",
                    hint="the command that wrote it goes on with it; for another bundle or other options name another",
                )
        raise UsageError(f"{where} is no row of such a run", hint="name another place for the rows")


class _JsonLines(Rows):
    def _prepare(self) -> None:
        with explain_os_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.touch()

    def _read(self, keep: Keep) -> None:
        """An item is written in one piece: one whose rows are not all there is the last one, and is dropped."""
        whole = 0
        open_item: list[Any] = []
        with self._path.open("rb") as file:
            end = 0
            for number, line in enumerate(file, 1):
                where = f"line {number} of {self._path}"
                row = None
                with suppress(ValueError):
                    row = json.loads(line)
                if (row is None or not line.endswith(b"\n")) and _is_start(line) and not file.peek(1):
                    break  # cut off
                name, rows = self._item(row, where)
                if open_item and open_item[0][self._key] != name:
                    raise DataError(f"{where}: rows of {open_item[0][self._key]} are missing before it")
                open_item.append(row)
                end += len(line)
                if len(open_item) == rows:
                    keep(name, open_item)
                    open_item, whole = [], end
        with explain_os_errors(self._path):
            os.truncate(self._path, whole)
            self._file = self._path.open("ab")

    def _add(self, rows: Sequence[Row]) -> None:
        self._file.write("".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode())
        self._file.flush()

    def _finish(self) -> None:
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())


def _is_start(line: bytes) -> bool:
    return line.startswith(_START) or _START.startswith(line)


class _Parquet(Rows):
    def _prepare(self) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise MissingRequirementError(
                f"Parquet needs pyarrow: {error}", hint="pip install 'x3ddeploy[parquet]'"
            ) from error
        self._arrow, self._parquet = pyarrow, pyarrow.parquet
        if self._path.exists() and not self._path.is_dir():
            raise UsageError(f"{self._path} is a file", hint="rows in Parquet are a folder of files: name another")
        with explain_os_errors(self._path):
            self._path.mkdir(parents=True, exist_ok=True)

    def _read(self, keep: Keep) -> None:
        parts = sorted(self._path.glob("part-*.parquet"))
        for part in parts:
            try:
                rows = self._parquet.read_table(part).to_pylist()
            except (OSError, self._arrow.ArrowException) as error:
                raise DataError(f"{part} cannot be read: {error}", hint="remove it, to have its rows anew") from error
            names = [self._item(row, str(part))[0] for row in rows]
            for name, item in groupby(zip(names, rows, strict=True), itemgetter(0)):
                keep(name, [row for _, row in item])
        self._next = 1 + max((int(part.stem.partition("-")[2]) for part in parts), default=-1)
        self._gathered: list[Row] = []
        self._since = time.monotonic()

    def _add(self, rows: Sequence[Row]) -> None:
        self._gathered += rows
        if len(self._gathered) >= _PART_ROWS or time.monotonic() - self._since > _PART_S:
            self._finish()

    def _finish(self) -> None:
        if self._gathered:
            schema = self._schema(self._arrow)
            for name, kind in (("run", self._arrow.string()), ("rows", self._arrow.int64())):
                schema = schema.append(self._arrow.field(name, kind))
            written = io.BytesIO()
            self._parquet.write_table(self._arrow.Table.from_pylist(self._gathered, schema), written)
            write_bytes(self._path / f"part-{self._next:05}.parquet", written.getvalue())
            self._next += 1
        self._gathered, self._since = [], time.monotonic()
