"""What a study yields: results, text, intervals, comparisons, charts and grids."""
