"""Two depth layers a pixel: the measured front and a guessed back. The preview of a reconstruction, and its floor."""
