"""Fixtures that every test may ask for; engines start only when a test does."""

pytest_plugins = ["shared.testing.engines"]
