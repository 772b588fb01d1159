"""The libraries that install() knows: a file each, named as the library is imported, with a `LIBRARY` in it.

The file holds all that is known of its library, and nothing else names it; CONTRIBUTING.md says how to add one.
"""
