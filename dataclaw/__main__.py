"""`python -m dataclaw`."""

from dataclaw.main import main

main()
