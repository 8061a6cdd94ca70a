"""A cache without a limit: a module-level dict keeps the result of every request under its id, forever.

usage: python unbounded_cache.py [entries per second, default 200]
What leakscope should say: Profile grows, held by __main__._profiles (dict). Ends by itself after ten minutes.
"""

import json
import os
import sys
import time

RATE = float(sys.argv[1]) if len(sys.argv) > 1 else 200.0
LIFETIME_SECONDS = float(os.environ.get("LEAKSCOPE_DEMO_SECONDS", "600"))


class Profile:
    """What the service computes for one request."""

    def __init__(self, request_id):
        self.request_id = request_id
        self.name = "user %d" % request_id
        self.scores = [float(request_id + step) for step in range(20)]
        self.html = "<li>%s</li>" % request_id * 40


_profiles = {}


def load_profile(request_id):
    # The mistake: nothing ever removes an entry, and no request id comes twice.
    if request_id not in _profiles:
        _profiles[request_id] = Profile(request_id)
    return _profiles[request_id]


def handle_request(request_id):
    profile = load_profile(request_id)
    return {"status": 200, "body": profile.html[:100], "score": sum(profile.scores)}


def main():
    print(json.dumps({"ready": True, "pid": os.getpid()}), flush=True)
    started = time.monotonic()
    request_id = 0
    while time.monotonic() - started < LIFETIME_SECONDS:
        while request_id < (time.monotonic() - started) * RATE:
            handle_request(request_id)
            request_id += 1
        time.sleep(0.02)


if __name__ == "__main__":
    main()
