"""The three submodels of Stable Diffusion v2.1 as .tflite; knows no device and no tool."""
