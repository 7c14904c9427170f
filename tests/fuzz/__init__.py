"""Every parser of foreign bytes, fed with damaged files: a value or one sentence, in bounds."""
