"""What makes flows run somewhere: schedules, work pools, triggers."""
