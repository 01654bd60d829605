"""The joint of text, features and network: `Engine.stream(request) -> Iterator[Speech]`. Read pipeline.py first."""
