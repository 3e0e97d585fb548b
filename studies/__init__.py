"""Questions about methods, answered by many trainings or many answers: each prints its tables and keeps its rows."""
