"""`evaluate.py recover`: whether maps find a localized attack (Goepfert, Wersing & Hammer)."""
