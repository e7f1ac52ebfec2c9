"""The main paper's claims, judged from records; several whole pipelines judged together."""
