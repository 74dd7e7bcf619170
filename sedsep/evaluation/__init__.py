"""Two-stage evaluation: label sources name the events, a separator takes them apart, metrics score both."""
