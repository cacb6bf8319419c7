"""How well each expert measures: its anchors against labelled streams, and what it costs."""
