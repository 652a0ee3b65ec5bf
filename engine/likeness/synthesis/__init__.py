"""Synthetic clothed people with known truth: pack, recipes, dressing, posing, cloth, pictures, sensors, outer surface.

Serves training, benchmarks and the samples; nothing of it runs when an artist makes an avatar. It needs NumPy, SciPy,
scikit-image, Pillow and torch alone, so that it runs on any machine with a GPU. World space here: metres, right-handed,
Y up, floor at y = 0. docs/people.md tells the whole story.
"""
