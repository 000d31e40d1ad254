"""From speech to video: loaded speakers, and batches of videos."""
