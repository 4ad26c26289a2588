"""What crosses a process boundary: topics, events, commands, records, shapes, error codes and routes.

Pure: standard library and pydantic only. Nothing here knows Kafka, MongoDB, HTTP servers or any service.
"""
