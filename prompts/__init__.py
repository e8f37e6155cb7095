"""How a question is put: strategies as sandboxed templates, the one renderer, versions. Knows no model."""
