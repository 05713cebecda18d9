"""The part of the drivers that runs on the JVM, in Java."""
