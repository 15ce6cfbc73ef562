"""The command line. Its modules import the heavy parts inside the functions, so that help is instant."""
