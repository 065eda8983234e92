"""The parts that define a picture: parameterizations, objectives, transforms, regularizers, and how it is stored."""
