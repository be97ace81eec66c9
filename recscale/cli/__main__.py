"""python -m recscale.cli"""

from recscale.cli import main

main()
