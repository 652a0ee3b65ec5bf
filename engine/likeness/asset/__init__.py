"""Captured surface to avatar: unposing, textures, skin weights, GLB, pictures."""
