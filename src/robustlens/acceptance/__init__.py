"""Finished results of earlier code: accepted as today's where their parameters are still the same.

The digest of the code is among the parameters of every job, so that a change of the code makes a job run again. To
accept results is to say that the change made no difference to them; this package makes sure that nothing else has
changed.
"""
