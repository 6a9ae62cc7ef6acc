"""Tools for compiled code: decorators, elementary functions, blocks of lanes, random numbers.

See README.md in this folder.
"""
