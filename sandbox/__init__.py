"""A stand-in for WeChat's servers: one fast process for demo, tests and benchmarks.

It imports nothing of the applications but the message crypto, so that what it checks
is checked a second time and not the same way.
"""
