"""A page that shows a live session in a browser: on this machine, or on a phone in the same network.

The parts: `address` reads HOST:PORT and makes the token, `guard` lets nobody in who should not be, `hub` carries the
newest answer from the session's thread to any number of viewers, `app` has the routes, `server` runs them. What the
browser gets is in ``page/``: nothing in it comes from elsewhere. Needs the extra ``web`` (Starlette and uvicorn).
"""
