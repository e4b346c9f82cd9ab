"""What every part of the engine shares: errors, statuses, options, types, devices, threads, and the store of programs.

It imports nothing else of the package.
"""
