"""The graph of a .tflite in memory: read, edited, written."""
