"""Resources: they keep everything; students leave nothing in them but views and completion."""

from __future__ import annotations

from demo import moments
from demo.space import Space


def resources(space: Space) -> None:
    """A folder, a file, a book, a page, a link, a label."""
    folder = space.activity("folder", "Dossier de TD")
    space.file(folder.context, "mod_folder/content", 0, "TD 1.pdf")
    few_resources(space)
    book = space.activity("book", "Livre : méthodologie", revision=1, timecreated=moments.OPENING)
    chapter = space.add("book_chapters", bookid=book.id, pagenum=1, title="Chapitre 1", content="<p>Texte</p>",
                        timecreated=moments.OPENING)  # fmt: skip
    space.add(
        "tag_instance", tagid=space.site.tag("méthode"), component="mod_book", itemtype="book_chapters",
        itemid=chapter, contextid=book.context, timecreated=moments.OPENING, timemodified=moments.OPENING,
    )  # fmt: skip
    space.activity(
        "url", "Lien : bibliothèque", externalurl="https://bibliotheque.invalid", displayoptions="", parameters=""
    )


def few_resources(space: Space) -> None:
    """A file, a page, a label: what an ordinary space has."""
    lecture = space.activity("resource", "Polycopié", displayoptions="", revision=1)
    space.file(lecture.context, "mod_resource/content", 0, "polycopié.pdf")
    page = space.activity(
        "page", "Plan du cours", content="<p>Plan</p>", contentformat=1, displayoptions="", revision=1
    )
    space.file(page.context, "mod_page/content", 0, "plan.png")
    space.activity("label", "Bonne rentrée !", section=0, completion=0)
