"""TensorRT engines: build them out of a bundle's graphs, prove what they are, load them where they fit."""
