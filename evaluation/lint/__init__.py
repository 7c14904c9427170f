"""What is wrong with a foreign model, by measurements on labelled images; one check a file."""
