"""A page of a real browser that shows one report after the other."""


class Tab:
    """A page that shows one file after the other, and what it has said or asked for without being asked to.

    A page of its own for each test would start a process of the browser each time, which takes longer than most tests.
    """

    def __init__(self, context) -> None:
        self.page, self.heard, self.url = context.new_page(), [], ""
        self.size = self.page.viewport_size
        self.page.on("console", lambda message: self.heard.append(message.text))
        self.page.on("pageerror", lambda error: self.heard.append(str(error)))
        self.page.on("dialog", lambda dialog: (self.heard.append(dialog.message), dialog.dismiss()))
        self.page.on("request", self._request)

    def _request(self, request) -> None:
        if request.url.partition("#")[0] != self.url:
            self.heard.append(request.url)

    def open(self, path, fragment: str = ""):
        """Show a file as a new page would, and return the page as soon as it is ready."""
        self.url = path.as_uri()
        self.page.goto(self.url + fragment)
        self.page.wait_for_selector("html[data-ready=true]")
        return self.page

    def close(self) -> list[str]:
        """Undo what a test has asked of the page itself, and return what was heard."""
        self.page.mouse.move(0, 0)
        self.page.evaluate("0")  # what was said before is heard by now
        heard, self.heard[:] = [*self.heard], []
        self.page.emulate_media(media="null", color_scheme="null", reduced_motion="null")
        if self.page.viewport_size != self.size:
            self.page.set_viewport_size(self.size)
        return heard
