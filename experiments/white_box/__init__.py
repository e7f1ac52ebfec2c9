"""White-box attacks on the detectors of a run: who is attacked, by what, and what came out."""
