"""Export and import of models: Hugging Face transformers and ONNX."""
