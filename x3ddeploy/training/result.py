"""What a training leaves behind; needs neither PyTorch nor MMEngine."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrainResult:
    """What a run leaves behind.

    Attributes:
        epochs: number of epochs finished in all, those before a resume included.
        last: the checkpoint written last.
        best: a copy, under a name that stays, of the checkpoint with the best score; None where nothing was validated.
        best_score: its score.
        monitored: name of the metric that it is the score of, as MMEngine's `save_best` takes it.
        onnx: what a training of a pose network writes at its end: 'pose' and 'detector' -> file; none of others.
    """

    work_dir: str
    epochs: int
    last: str | None
    best: str | None
    best_score: float | None
    monitored: str | None
    onnx: dict[str, str] = field(default_factory=dict)
