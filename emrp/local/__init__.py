"""AWS on this machine: ministack plus the EMR services that it lacks."""
