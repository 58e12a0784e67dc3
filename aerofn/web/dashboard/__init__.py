"""The dashboard: pages that the service makes for whoever holds a token of the admin role.

Plain HTML, one stylesheet, one script; nothing is built and nothing comes from elsewhere. All pages are below
`/dashboard`, because the cookie of a session is sent there only: never to a function, whose page is on this origin too.
"""
