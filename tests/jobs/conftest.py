import sys
from pathlib import Path

# The shapes that these tests share (`anim_ball`).
sys.path.insert(0, str(Path(__file__).parent))
