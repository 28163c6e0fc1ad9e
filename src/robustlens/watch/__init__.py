"""A page that shows how a run goes, from the files that its jobs write anyway."""
