"""The joint of text, features and network: `Engine.speak(lines)` gives Speech. Read engine/pipeline.py first."""
