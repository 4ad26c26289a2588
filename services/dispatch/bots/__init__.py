"""Asking bots: a question per customer message, one at a time per conversation; the answer is a command for routing."""
