"""A page as tests read it: its elements in order, its text, what is embedded in it."""

import base64
from dataclasses import dataclass, field
from html.parser import HTMLParser

EMPTY = {"meta", "link", "img", "br", "hr", "input", "path", "rect"}


@dataclass
class Element:
    """One element: its name, attributes, the element around it, and the text directly or deeper in it."""

    tag: str
    attributes: dict[str, str]
    parent: "Element | None"
    text: str = ""
    inside: list["Element"] = field(default_factory=list)

    def all(self, tag: str, name: str = "") -> list["Element"]:
        """Elements in it of a tag, and of a class where one is named."""
        return [one for one in self.inside if one.tag == tag and (not name or name in one.classes)]

    @property
    def classes(self) -> list[str]:
        return self.attributes.get("class", "").split()

    def bytes(self) -> bytes:
        """What its data address holds."""
        return base64.b64decode(self.attributes["src"].partition("base64,")[2], validate=True)


class PageReader(HTMLParser):
    """Reads a page and holds it to closing what it opens. `root` has every element in `inside`."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {}, None)
        self._open = [self.root]
        self.feed(page)
        self.close()
        assert self._open == [self.root], f"left open: {[one.tag for one in self._open]}"

    def handle_starttag(self, tag, attrs):
        assert len({name for name, _ in attrs}) == len(attrs), f"{tag} has an attribute twice: {attrs}"
        one = Element(tag, {name: value or "" for name, value in attrs}, self._open[-1])
        for outer in self._open:
            outer.inside.append(one)
        if tag not in EMPTY:
            self._open.append(one)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in EMPTY:
            self._open.pop()

    def handle_endtag(self, tag):
        assert self._open[-1].tag == tag, f"</{tag}> within <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data):
        for outer in self._open:
            outer.text += data
