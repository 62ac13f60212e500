"""The Query API: reports, profiles, cohorts, JQL, activity."""
