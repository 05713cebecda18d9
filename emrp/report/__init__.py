"""`emrp report`: a run as one HTML page that needs nothing but a browser.

`command` reads the run, `log_tails` the ends of its logs, `graph` lays its jobs out, `page` fills the template.
"""
