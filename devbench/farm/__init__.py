"""Measuring by itself: what is due, night after night, on whatever devices are there."""
