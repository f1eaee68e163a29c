"""How fast the campaign is, beside the plain ways to do the same, on a platform built for it."""
