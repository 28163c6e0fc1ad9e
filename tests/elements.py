"""The elements of a page, to see that no text has become one."""

from html.parser import HTMLParser


class Elements(HTMLParser):
    """The elements of a page, the names of their attributes, and its text."""

    def __init__(self, text: str):
        super().__init__()
        self.elements, self.attributes, self.text = set(), set(), ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_data(self, data):
        self.text += data
