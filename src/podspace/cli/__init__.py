"""The podspace command."""
