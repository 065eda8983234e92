"""Static pages that show an atlas: an index, a page per layer, a view per channel. The only user of jinja2."""
