"""Clips that overlap read each frame of their video once, and get the frames that they would get alone."""

import threading
from concurrent.futures import ThreadPoolExecutor
from types import GeneratorType

import numpy as np
import pytest
from support.present import of_type

from x3ddeploy.data.shared_frames import SharedFrames, decoded_ahead
from x3ddeploy.errors import DataError

CLIPS = [[0, 2, 4], [2, 3, 4, 6], [4, 6, 8]]


class Decoder:
    """Frames that say their index; one of them may be damaged."""

    def __init__(self, damaged=None):
        self.damaged, self.decoded = damaged, []

    def __call__(self, indices):
        for index in indices:
            if index == self.damaged:
                raise DataError(f"frame {index} cannot be decoded")
            self.decoded.append(index)
            yield np.full((2, 2, 3), index, np.uint8)


def numbers(frames):
    return [int(frame[0, 0, 0]) for frame in frames]


@pytest.mark.parametrize("workers", [1, 3])
def test_every_frame_is_decoded_once_whatever_thread_asks(workers):
    decoder = Decoder()
    shared = SharedFrames(decoder, CLIPS)
    with ThreadPoolExecutor(workers) as pool:
        assert list(pool.map(lambda clip: numbers(shared(clip)), CLIPS)) == CLIPS
    assert sorted(decoder.decoded) == [0, 2, 3, 4, 6, 8]
    assert shared._held == {}


def test_a_clip_that_is_made_again_is_decoded_again():
    decoder = Decoder()
    shared = SharedFrames(decoder, CLIPS)
    for _ in range(2):
        assert [numbers(shared(clip)) for clip in CLIPS] == CLIPS
    assert len(decoder.decoded) == 6 + sum(map(len, CLIPS))


def test_the_last_clip_first_is_no_harm():
    decoder = Decoder()
    shared = SharedFrames(decoder, CLIPS)
    assert [numbers(shared(clip)) for clip in reversed(CLIPS)] == CLIPS[::-1]
    assert sorted(decoder.decoded) == [0, 2, 3, 4, 6, 8]


def test_damage_is_that_of_the_clips_that_ask_for_it():
    shared = SharedFrames(Decoder(damaged=3), CLIPS)
    assert numbers(shared(CLIPS[0])) == CLIPS[0]
    with pytest.raises(DataError, match="frame 3"):
        numbers(shared(CLIPS[1]))
    assert numbers(shared(CLIPS[2])) == CLIPS[2]


def test_no_more_is_held_than_may_be():
    decoder = Decoder()
    shared = SharedFrames(decoder, CLIPS, limit_bytes=30)  # two frames
    assert [numbers(shared(clip)) for clip in CLIPS] == CLIPS
    assert sum(frame.nbytes for frame in shared._held.values()) <= 30
    assert len(decoder.decoded) > 6


def test_frames_are_decoded_while_others_are_used_and_no_more_than_some():
    decoder, ahead, threads = Decoder(), threading.Semaphore(0), set()

    def decode(indices):
        for frame in decoder(indices):
            threads.add(threading.current_thread())
            ahead.release()
            yield frame

    frames = of_type(GeneratorType, decoded_ahead(decode)(range(20)))
    assert int(next(frames)[0, 0, 0]) == 0
    for _ in range(5):  # the first, and four that nobody asked for
        assert ahead.acquire(timeout=10)
    assert not ahead.acquire(timeout=0.01)
    frames.close()
    assert decoder.decoded == [0, 1, 2, 3, 4]
    assert threads.isdisjoint({threading.current_thread()})
    assert numbers(decoded_ahead(decode)(range(20))) == [*range(20)]


def test_damage_comes_behind_the_frames_before_it():
    frames = decoded_ahead(Decoder(damaged=3))([1, 2, 3, 4])
    assert numbers([next(frames), next(frames)]) == [1, 2]
    with pytest.raises(DataError, match="frame 3"):
        next(frames)
