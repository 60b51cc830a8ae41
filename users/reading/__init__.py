"""Reads tables that strangers made, in a process of its own: `python -m users.reading`.

Plain Python, no Django: the process starts in a few hundredths of a second, has limits
on memory and time, and may die on a hostile file without hurting anyone.
"""
