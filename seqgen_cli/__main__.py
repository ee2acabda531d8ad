"""`python -m seqgen_cli` is `seqgen`, as launchers of several processes want it."""

from seqgen_cli.main import main

if __name__ == "__main__":
    main()
