"""The gateway's routes, a module a noun: read the request, ask a use case, shape the answer."""
