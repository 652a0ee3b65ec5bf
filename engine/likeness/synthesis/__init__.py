"""Synthetic clothed people with known truth: wardrobe, posing, ray-traced pictures and simulated depth sensors.

Serves the samples, the benchmarks and (later) training. Nothing of it runs when an artist makes an avatar.
World space here: metres, right-handed, Y up, floor at y = 0, a person of yaw 0 faces +Z.
"""
