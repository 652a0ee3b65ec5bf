"""How good a surface is: against the truth where there is one (anim.md, section 9), else against what was measured."""
