"""Which models may be used: publish a bundle, gate it against the champion, write its card. Run from a checkout."""
