"""Which invocation runs when: leasing events, invoking versions, settling and retrying."""
