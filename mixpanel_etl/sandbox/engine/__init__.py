"""The base of the APIs: clock, scheduler, event store, profiles, identities, projects, budgets, faults."""
