"""How a question is put: strategies as sandboxed templates, the one renderer, prompt versions. Knows no model."""
