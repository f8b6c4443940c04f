"""What an operator does with a ledger: check, rebuild, copy, restore, prune."""
