"""One night on one host: what is due is measured on the devices that are there, compared and reported."""
