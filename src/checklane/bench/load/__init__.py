"""Load by the generator in C: schedules, requests, right answers, runs and their reports."""
