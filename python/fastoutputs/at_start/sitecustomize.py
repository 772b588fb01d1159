# Python imports this at its start when `fastoutputs run` has put this folder in front of PYTHONPATH. Any version of
# Python may be among a program's children, so this file runs on all of them, and never makes one fail.
import os
import sys

if sys.version_info >= (3, 10):
    try:
        __import__("fastoutputs_at_start").start()
    except Exception:
        pass

# Now the user's own, as if this folder were not there. If there is none, this raises the ImportError that
# Python expects in that case. Errors in it are Python's to show.
_here = os.path.dirname(os.path.abspath(__file__))
_rest = [_folder for _folder in sys.path if os.path.abspath(_folder) != _here]
if len(_rest) < len(sys.path):
    sys.path[:] = _rest
    del sys.modules["sitecustomize"]
    __import__("sitecustomize")
