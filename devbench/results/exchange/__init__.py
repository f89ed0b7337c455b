"""Exports results from a store to files, and imports them from files or from another store."""
