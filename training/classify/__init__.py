"""Texts put into classes: a linear head in place of the LM head, on a frozen, adapted or tuned trunk."""
