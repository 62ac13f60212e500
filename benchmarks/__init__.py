"""Speed and memory, as ratios against what one would use instead. Run by hand, never by the tests."""
