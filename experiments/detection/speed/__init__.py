"""`evaluate.py speed`: time, parameters and operations of a decision."""
