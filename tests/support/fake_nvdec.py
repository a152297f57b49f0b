"""A stand-in for PyNvVideoCodec 2.2.4: SimpleDecoder, cut to what is used, which decodes with FFmpeg.

A frame's memory is used again by the next call, as a decoder's surfaces are. What is wrong with it `Module` says.
"""

import types
import warnings
from pathlib import Path

import numpy as np

from x3ddeploy.data.video import count_frames, read_frames


class Module(types.ModuleType):
    """Attributes: `change` is what becomes of each picture; `made` counts decoders; `calls` lists indices asked for."""

    OutputColorType = types.SimpleNamespace(NATIVE="native", RGB="rgb", RGBP="planar")

    def __init__(self, change=lambda picture: picture):
        super().__init__("PyNvVideoCodec")
        module = self
        self.change, self.made = change, 0
        self.calls: list[list[int]] = []

        class SimpleDecoder:
            def __init__(
                self,
                enc_file_path,
                gpu_id=0,
                cuda_context=0,
                cuda_stream=0,
                use_device_memory=True,
                max_width=0,
                max_height=0,
                need_scanned_stream_metadata=0,
                decoder_cache_size=4,
                output_color_type="native",
                bWaitForSessionWarmUp=False,
                enableDecodeStats=False,
            ):
                assert not use_device_memory
                assert output_color_type == "rgb"
                module.made += 1
                self._path = Path(enc_file_path)
                self._surface = np.zeros(0, np.uint8)

            def __len__(self):
                return count_frames(self._path)

            def get_batch_frames_by_index(self, indices):
                module.calls.append(list(indices))
                known = [index for index in indices if index < len(self)]
                if len(known) < len(indices):
                    warnings.warn("Skipping index: out of valid range", stacklevel=2)
                pictures = np.stack([module.change(picture) for picture in read_frames(self._path, known)])
                if self._surface.size != pictures.size:
                    self._surface = np.empty(pictures.size, np.uint8)
                self._surface[:] = pictures.ravel()
                size = pictures[0].size
                return [_Frame(self._surface[start : start + size]) for start in range(0, self._surface.size, size)]

        self.SimpleDecoder = SimpleDecoder


class _Frame:
    def __init__(self, memory):
        self._memory = memory

    def framesize(self):
        return self._memory.size

    def GetPtrToPlane(self, plane):
        assert plane == 0
        return self._memory.ctypes.data
