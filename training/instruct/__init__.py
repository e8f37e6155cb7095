"""Instruction data from plain datasets: rows put as questions by templates, as in FLAN (Wei et al. 2022)."""
