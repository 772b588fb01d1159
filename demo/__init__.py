"""Two real uses of compiled outputs: `python -m demo` from the repository root, offline."""

import os

# Before transformers is imported: nothing here is fetched, and only results are printed.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
