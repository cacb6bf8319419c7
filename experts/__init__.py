"""Stage 1: the ensemble H of experts that measure factual anchors, one file per expert, one roster."""
