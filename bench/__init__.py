"""`make bench`: what the product is measured by. See docs/performance.md."""
