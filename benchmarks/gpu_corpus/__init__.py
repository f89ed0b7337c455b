"""The models of `benchmarks/gpu_check_corpus.py`: each module gives the cases of a kind, `converting` makes files."""
