"""Engines: everything that turns prompts into text, behind one interface."""
