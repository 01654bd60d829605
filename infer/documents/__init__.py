"""What is made of speech and what it is made from: projects, takes, batches, sound files, subtitles, pictures."""
