"""Search: a better instruction and better examples for a strategy, found on data, proven on other data.

Imports go one way: `candidates`, `race`, `writing` <- `optimise` <- `evidence`; `votes` makes data of votes.
"""
