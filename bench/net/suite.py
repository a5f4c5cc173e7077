"""Suite `net`: servers, and what a request costs them.

The server has the first core, the load generator the second. Every figure is from a server process
of its own.
"""

from net import echo, requests


class Suite:
    def __init__(self, settings):
        self.possible = len(settings.cores) > 1
        self.parts = self._parts(settings) if self.possible else []
        self.part_of = {case.slug: part for part in self.parts for case in part.cases()}

    @staticmethod
    def _parts(settings):
        return [echo.Echo(settings), requests.Http(settings),
                *(requests.Resp(settings, command) for command in requests.Resp.ANSWERS)]

    def notes(self):
        if not self.possible:
            yield "SKIPPED net: it needs two cores"
        reasons = {}  # -> [systems, kinds of servers]
        for part in self.parts:
            for system, reason in part.skipped().items():
                systems, kinds = reasons.setdefault(reason, ({}, {}))
                systems[system] = kinds[part.kind] = None
        for reason, (systems, kinds) in reasons.items():
            yield f"SKIPPED {', '.join(systems)} of {', '.join(kinds)}: {reason}"
        yield "system calls are counted in a short run of their own, in round 1, by the kernel's"
        yield "tracepoint raw_syscalls:sys_enter; where that is not allowed, by strace -c -f"

    def cases(self):
        return [case for part in self.parts for case in part.cases()]

    def measure(self, case, system, round_number):
        return self.part_of[case.slug].measure(case, system, round_number)
