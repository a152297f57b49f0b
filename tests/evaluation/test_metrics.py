"""Accuracies mean what their names say, also where scores are equal and where classes have no videos."""

import numpy as np
import pytest

from x3ddeploy.evaluation.document import ClassChange
from x3ddeploy.evaluation.metrics import (
    class_accuracy,
    compare_scores,
    confusion_matrix,
    mean_class_accuracy,
    top_k_accuracy,
)

SCORES = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])
LABELS = np.array([0, 1, 1, 1])


@pytest.mark.parametrize(("k", "share"), [(1, 0.5), (2, 1.0), (5, 1.0)])
def test_top_k_counts_labels_among_the_k_largest(k, share):
    assert top_k_accuracy(SCORES, LABELS, k) == share


def test_equal_scores_do_not_count_as_right():
    """A network that says the same of every class knows nothing."""
    even = np.full((4, 4), 0.25)
    assert top_k_accuracy(even, np.arange(4), 1) == 0.25
    assert top_k_accuracy(even, np.arange(4), 2) == 0.5


def test_rows_of_the_confusion_matrix_are_labels():
    matrix = confusion_matrix(SCORES.argmax(1), LABELS, 3)
    np.testing.assert_array_equal(matrix, [[1, 0, 0], [1, 1, 1], [0, 0, 0]])


def test_mean_class_accuracy_weighs_classes_alike_and_leaves_out_those_without_videos():
    matrix = confusion_matrix(SCORES.argmax(1), LABELS, 3)
    by_class = class_accuracy(matrix)
    np.testing.assert_allclose(by_class, [1, 1 / 3, np.nan])
    assert mean_class_accuracy(matrix) == pytest.approx((1 + 1 / 3) / 2)


def test_mean_class_accuracy_is_mmaction2s_where_every_class_has_videos():
    metric = pytest.importorskip("x3ddeploy.mmaction_compat")
    metric.import_everything()
    from mmaction.evaluation import mean_class_accuracy as theirs
    from mmaction.evaluation import top_k_accuracy as their_top_k

    random = np.random.default_rng(0)
    scores, labels = random.random((60, 7)), np.arange(60) % 7
    ours = mean_class_accuracy(confusion_matrix(scores.argmax(1), labels, 7))
    assert ours == pytest.approx(theirs(list(scores), labels))
    assert [top_k_accuracy(scores, labels, k) for k in (1, 5)] == pytest.approx(their_top_k(scores, labels, (1, 5)))


def test_a_comparison_names_what_changed_and_by_how_little():
    after = SCORES.copy()
    after[3] = [0.2, 0.39, 0.41]  # was right, is wrong now
    after[1] = [0.1, 0.6, 0.3]  # was wrong, is right now
    after[2] = [0.3, 0.31, 0.39]  # stays wrong, and changes
    result = compare_scores(SCORES, after, LABELS, ["a", "b", "c", "d"])
    assert result.agreement == 0.25
    assert result.largest_difference == pytest.approx(0.4)
    assert result.class_changes == []  # class 1 lost one and gained one
    assert [(video.name, video.before, video.after) for video in result.changed_videos] == [
        ("b", 2, 1),
        ("c", 0, 2),
        ("d", 1, 2),
    ]
    assert result.changed_videos[2].margin == pytest.approx(0.2)
    assert compare_scores(SCORES, after, np.array([0, 1, 2, 0]), list("abcd")).class_changes == [
        ClassChange(1, 1),
        ClassChange(2, 1),
    ]
