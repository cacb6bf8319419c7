"""From what a user asks for to task specs."""
