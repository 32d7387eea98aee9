"""The properties of right answers to the exercises, a module a chapter; see `mircourse.check`."""
