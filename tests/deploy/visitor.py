"""A person in front of the proxy, without JavaScript: looks at pages, fills in forms, follows where they are sent."""

import re
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

import requests


class Form:
    def __init__(self, attributes: dict[str, str]) -> None:
        self.action = attributes.get("action", "")
        self.method = attributes.get("method", "get").lower()
        self.enctype = attributes.get("enctype", "")
        self.fields: dict[str, str] = {}


class Forms(HTMLParser):
    """What a browser would send of each form as it stands."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []
        self._form: Form | None = None
        self._select = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = Form(given)
            self.found.append(self._form)
        elif self._form is not None and given.get("name") and tag in {"input", "textarea"}:
            self._note(given)
        elif self._form is not None and tag == "select":
            self._select = given.get("name", "")
        elif self._form is not None and tag == "option" and self._select and ("selected" in given or self._select not in self._form.fields):
            self._form.fields[self._select] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        if tag == "select":
            self._select = ""

    def _note(self, given: dict[str, str]) -> None:
        assert self._form is not None
        if given.get("type") not in {"checkbox", "radio", "submit", "file"} or (
            given.get("type") in {"checkbox", "radio"} and "checked" in given
        ):
            self._form.fields[given["name"]] = given.get("value", "on" if given.get("type") in {"checkbox", "radio"} else "")


class Visitor:
    def __init__(self, session: requests.Session) -> None:
        self.session = session
        self.page: requests.Response | None = None

    @property
    def url(self) -> str:
        assert self.page is not None
        return self.page.url

    @property
    def text(self) -> str:
        assert self.page is not None
        return self.page.text

    def open(self, url: str) -> "Visitor":
        return self._took(self.session.get(url, timeout=30))

    def submit(self, action: str = "", /, **values: str) -> "Visitor":
        """The form whose address contains `action` and that has most of these fields, with them changed."""
        parser = Forms()
        parser.feed(self.text)
        fitting = [form for form in parser.found if action in form.action]
        form = max(fitting, key=lambda form: len(form.fields.keys() & values.keys()), default=None)
        assert form is not None, f"No form leads to {action!r} on {self.url}: {[form.action for form in parser.found]}"
        more: dict[str, Any] = {"data": {**form.fields, **values}}
        if form.method == "get":
            more = {"params": more["data"]}
        # A browser says where the form stood.
        more["headers"] = {"Referer": self.url, "Origin": "/".join(self.url.split("/")[:3])}
        return self._took(self.session.request(form.method, urljoin(self.url, form.action), timeout=30, **more))

    def _took(self, page: requests.Response) -> "Visitor":
        self.page = page
        assert page.ok, f"{page.request.method} {page.url}: {page.status_code} {problems(page.text)}"
        return self


def problems(text: str) -> str:
    """What a page says is wrong, or how it begins."""
    said = re.findall(r'class="(?:error|notice[^"]*|problem[^"]*)"[^>]*>(.*?)</', text, re.DOTALL)
    return " / ".join(part.strip() for part in said) or text[:500]
