"""The protocols of `evaluate.py`, each a module with a function from a study to a result; `registry` lists them."""
