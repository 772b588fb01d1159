"""The container as a `py::class_` would have it, to be measured: why the real one is a heap type."""
