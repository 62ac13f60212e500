"""What the APIs rest on: the clock, the stored events, projects, budgets, faults, and what is scheduled to happen."""
