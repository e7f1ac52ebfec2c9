"""`evaluate.py similarity`: how alike maps stay under attack (Liu, Liu & Hosseini)."""
