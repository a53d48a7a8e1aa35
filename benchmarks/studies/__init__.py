"""Studies: many models trained on many data sets, cell by cell, and what follows from their scores."""
