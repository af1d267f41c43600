"""Exported models for other runtimes, which need neither Keras nor TensorFlow.

outputs         what such a file returns: ab, ab before its enlargement, logits
resampling      a picture to another size by matrices, which every runtime has
extras          optional packages, or the line that says how to get them
export          an .h5 into a file of another format, compared with Keras
conversion      Keras's own export, silent
onnx_files      an exported model as an .onnx, with its metadata
onnx_quantized  the same of float16 or int8
tflite_files    an exported model as a .tflite, with its metadata
onnx_checks     what a stranger's .onnx may hold
onnx_network    an .onnx that ONNX Runtime computes, for a `Colorizer`
browser         a page that colours in the browser: the files in page/, and onnxruntime-web
choice          which runtime colours: RUNTIME=, and the .onnx that is written once
"""
