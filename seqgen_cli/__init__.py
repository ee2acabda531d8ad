"""The command line of seqgen: arguments in, one call to seqgen_core, results shown."""
