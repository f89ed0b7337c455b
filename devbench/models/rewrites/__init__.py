"""Rewrites of a .tflite's graph that make delegates take it whole, each with the same meaning before and after."""
