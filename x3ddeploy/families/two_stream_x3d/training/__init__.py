"""The recognizer in MMAction2's registries, under the names of the original configs."""
