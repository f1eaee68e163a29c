"""What every client of another server shares."""

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry


def retrying_session(retry: Retry) -> requests.Session:
    """A session that sends again what ``retry`` allows; certificates are verified."""
    session = requests.Session()
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
    return session
