"""False positives on benign changes of the images."""
