"""Fetching sound from the web: lists, one item through yt-dlp, the check before it is accepted, the account of it all."""
