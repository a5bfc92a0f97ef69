"""Credentials of clouds: acquired and refreshed beside the calls, so that adding one to a request never waits.

    base      what a credential is, where one comes from, and which upstreams share it
    aws       Bedrock: signatures from keys, a profile, a role or the machine's own identity; bearer keys
    google    Vertex: access tokens of service accounts, users and workload identities
    azure     Azure: Entra tokens
    account   what is known of one credential
    threads   work that blocks, and that nobody waits for at the end of the process
    keeper    holds them for the upstreams of the snapshot in force, and refreshes them ahead of their expiry

The clouds' libraries are extras of the package. Each is imported when the first upstream needs it, and nowhere else.
"""
