"""Stage 2: intent resolution, evidence, one agent per task type, generation backends, verification and rewards."""
