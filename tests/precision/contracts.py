"""The contract of the tiny two-stream network."""

from x3ddeploy.families.two_stream_x3d.contract import two_stream_contract
from x3ddeploy.families.two_stream_x3d.presets import PRESETS


def two_streams(weights=(1, 1)):
    return two_stream_contract(PRESETS["tiny"], weights, None, {})
