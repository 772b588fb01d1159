"""What the compiled container costs beside its peers: `python -m bench` from the repository root."""
