"""Fetching sound from the web: lists, one item through yt-dlp, the check of what came, the account of it all."""
