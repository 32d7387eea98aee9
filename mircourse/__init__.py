"""Deep Learning for Music Information Retrieval: the package behind the book.

Each module holds one idea; import the one you need, for example ``from mircourse.cnn import
MusicCNN``. Importing the package itself loads nothing heavy.
"""

__version__ = "0.1.0"
