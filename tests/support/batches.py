"""Bundles of a fixed number of clips, without exporting them."""

from dataclasses import replace

from x3ddeploy.bundle import Bundle


def fixed_to(bundle: Bundle, clips: int) -> Bundle:
    """The bundle as its manifest would be if its graphs took this many clips; the graphs are the old ones."""
    manifest = bundle.manifest
    inputs = {name: replace(value, shape=(clips, *value.shape[1:])) for name, value in manifest.inputs.items()}
    outputs = {name: replace(value, shape=(clips, *value.shape[1:])) for name, value in manifest.outputs.items()}
    return Bundle(bundle.path, replace(manifest, inputs=inputs, outputs=outputs))
