"""The command line of `evaluate.py`: its protocols, the report, TensorBoard."""
