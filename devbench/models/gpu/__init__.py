"""Whether the stock GPU delegate of TensorFlow Lite takes a model: rules as data, checked against its graphs.

    check(model) → for each graph the operators that the delegate refuses, each with the reason
    estimate_model(checked) → how the rest would be cut in parts, and how much of it would run on the GPU

Both work on views of a file (`graph.read.read_model`).
"""
