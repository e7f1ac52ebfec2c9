"""The same experiment repeated: whole pipelines, from the classifier on, with other seeds, judged together."""
