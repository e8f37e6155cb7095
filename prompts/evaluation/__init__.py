"""What prompts are worth: strategies measured on datasets, with intervals, tests and a report.

Knows no engine: whoever calls brings a `Model`.
"""
