"""Models to and from other programs: Hugging Face's transformers, and ONNX."""
