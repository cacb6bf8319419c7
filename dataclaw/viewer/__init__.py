"""The gallery: a corpus as static pages that open from a folder, without a server or a network."""
