"""`python -m fastoutputs`: one module a command."""
