"""devbench measures TensorFlow Lite / LiteRT models on Android devices over ADB."""

__version__ = "0.2.0"
