"""Does the fitted market reproduce the shop's sales?"""
