"""The HTTP surface: invoke, deploy, manage, and the errors as clients see them."""
