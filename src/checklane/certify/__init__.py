"""Certifies lanes: steps in which answers get lost, services go away, and the books must be right.

Each step is written once: what the cashier does, what the service does meanwhile, how our own lane
plays it, and how it is judged by what went over the wire and what stands in the journal.
"""
