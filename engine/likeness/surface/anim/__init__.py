"""ANIM (Pesavento et al., CVPR 2024): a signed distance about a person from one RGB-D image. See docs/anim.md."""
