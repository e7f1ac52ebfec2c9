"""The command lines of `train.py`: fits, the pipeline file and its stages, the run folder."""
