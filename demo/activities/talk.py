"""Where people write to each other: forums, chat, Etherpad, wiki."""

from __future__ import annotations

from demo import moments
from demo.space import Activity, Space


def announcements(space: Space) -> None:
    """The news forum that every space has, with a word of the teacher."""
    news = space.activity("forum", "Annonces", section=0, type="news", forcesubscribe=1)
    _discussion(space, news, space.teacher, "Bienvenue", [])


def forum(space: Space) -> None:
    """Three forums: general with ratings and whole-forum grades; qanda; single, whose first post is its own text."""
    general = space.activity(
        "forum", "Forum du cours", type="general", assessed=1, scale=10, grade_forum=20, maxattachments=2
    )
    learners = space.some(10)
    for author in learners[:4]:
        _discussion(space, general, author, f"Question n° {author}", [space.teacher, *learners[4:8]])
    of_group = _discussion(space, general, space.teacher, "Consignes pour l'oral", learners[:3])
    space.rows.change("forum_discussions", of_group, groupid=space.groups[0])
    for user in learners:
        space.add("forum_subscriptions", userid=user, forum=general.id)
        space.add("forum_digests", userid=user, forum=general.id, maildigest=1)
        space.add("forum_track_prefs", userid=user, forumid=general.id)
        when = space.when()
        space.add(
            "forum_grades", forum=general.id, itemnumber=1, userid=user, grade=14, timecreated=when,
            timemodified=when,
        )  # fmt: skip
    space.grade(general, dict.fromkeys(learners, 7.0), 10, 0, f"Évaluation {general.name}")
    space.grade(general, dict.fromkeys(learners, 14.0), 20, 1, f"Évaluation de l'ensemble {general.name}")
    questions = space.activity("forum", "Questions et réponses", type="qanda", trackingtype=1)
    _discussion(space, questions, space.teacher, "À quoi sert une clé ?", learners[:4])
    single = space.activity("forum", "Débat unique", type="single")
    _discussion(space, single, space.teacher, single.name, learners[:5])


def short_forum(space: Space) -> None:
    """One general forum: what an ordinary space has."""
    general = space.activity("forum", "Forum d'entraide", type="general")
    learners = space.some(6)
    for author in learners[:2]:
        _discussion(space, general, author, "J'ai une question", [space.teacher, *learners[2:4]])


def _discussion(space: Space, forum: Activity, author: int, subject: str, answers: list[int]) -> int:
    """Add a discussion of all groups: its first post, answers, and what readers leave; return its id."""
    when = space.when()
    discussion = space.add(
        "forum_discussions", course=space.id, forum=forum.id, name=subject, userid=author, groupid=-1,
        timemodified=when, usermodified=author,
    )  # fmt: skip
    first = _post(space, forum, discussion, 0, author)
    space.rows.change("forum_discussions", discussion, firstpost=first)
    for place, user in enumerate(answers):
        post = _post(space, forum, discussion, first, user)
        if place == 0:
            space.rows.change("forum_posts", post, privatereplyto=author)
        space.add("rating", contextid=forum.context, component="mod_forum", ratingarea="post", itemid=post, scaleid=10,
                  rating=7, userid=space.teacher, timecreated=when, timemodified=when)  # fmt: skip
        space.add("forum_read", userid=user, forumid=forum.id, discussionid=discussion, postid=first, firstread=when,
                  lastread=when)  # fmt: skip
    if answers:
        space.add("forum_discussion_subs", forum=forum.id, userid=answers[-1], discussion=discussion, preference=when)
        space.add("forum_queue", userid=answers[-1], discussionid=discussion, postid=first, timemodified=when)
        space.add(
            "favourite", component="mod_forum", itemtype="discussions", itemid=discussion, contextid=forum.context,
            userid=answers[-1], timecreated=when, timemodified=when,
        )  # fmt: skip
    return discussion


def _post(space: Space, forum: Activity, discussion: int, parent: int, user: int) -> int:
    when, subject = space.when(), space.rows.get("forum_discussions", discussion, "name")
    post = space.add(
        "forum_posts", discussion=discussion, parent=parent, userid=user, created=when, modified=when, mailed=1,
        subject=f"Re: {subject}" if parent else subject, message="<p>Bonjour,</p>", messageformat=1,
        attachment="1" if parent else "", wordcount=1,
    )  # fmt: skip
    if parent:
        space.file(forum.context, "mod_forum/attachment", post, "pièce jointe.pdf", user)
    space.file(forum.context, "mod_forum/post", post, "image.png", user)
    tag = space.site.tag("méthode")
    space.add("tag_instance", tagid=tag, component="mod_forum", itemtype="forum_posts", itemid=post,
              contextid=forum.context, timecreated=when, timemodified=when)  # fmt: skip
    space.log("mod_forum post created forum_posts", user, "c", forum, when, objectid=post)
    return post


def chat(space: Space) -> None:
    """A chat: messages, current messages and presences of students AND teachers go."""
    room = space.activity("chat", "Tchat du mercredi", chattime=moments.at(2026, 6, 3), schedule=2)
    for user in [space.teacher, *space.some(8)]:
        for table in ("chat_messages", "chat_messages_current"):
            space.add(table, chatid=room.id, userid=user, message="Bonjour à tous", timestamp=space.when())
        space.add("chat_users", chatid=room.id, userid=user, version="ajax", ip="10.0.0.1", firstping=moments.LAST_DAY,
                  lastping=moments.LAST_DAY, lastmessageping=moments.LAST_DAY, sid=f"{user:032d}", course=space.id,
                  lang="fr")  # fmt: skip


def etherpadlite(space: Space) -> None:
    """A shared pad: its text is on the Etherpad server, not in the database; its groups are settings (kept)."""
    pad = space.activity(
        "etherpadlite", "Prise de notes partagée", uri=f"g.demo{space.id}$notes", timecreated=moments.OPENING
    )
    for group in space.groups:
        space.add("etherpadlite_mgroups", padid=pad.id, groupid=group)


def wiki(space: Space) -> None:
    """A collaborative and an individual wiki: pages and versions stay; comments and locks of students go."""
    for name, mode in (("Wiki du groupe", "collaborative"), ("Carnet de bord", "individual")):
        book = space.activity("wiki", name, firstpagetitle="Accueil", wikimode=mode, defaultformat="html",
                              timecreated=moments.OPENING)  # fmt: skip
        authors = space.some(4) if mode == "individual" else [space.learners[0]]
        for author in authors:
            _subwiki(space, book, author, author if mode == "individual" else 0)


def _subwiki(space: Space, book: Activity, author: int, owner: int) -> None:
    subwiki = space.add("wiki_subwikis", wikiid=book.id, groupid=0, userid=owner)
    when = space.when()
    pages = [space.add("wiki_pages", subwikiid=subwiki, title=title, cachedcontent="<p>Texte</p>", timecreated=when,
                       timemodified=when, timerendered=when, userid=author)
             for title in ("Accueil", "Plan")]  # fmt: skip
    for page in pages:
        for version in range(2):
            space.add("wiki_versions", pageid=page, content="<p>Texte</p>", contentformat="html", version=version,
                      timecreated=when, userid=author)  # fmt: skip
        space.add("comments", contextid=book.context, component="mod_wiki", commentarea="wiki_page", itemid=page,
                  content="Bien vu", userid=space.learners[1], timecreated=when)  # fmt: skip
        space.add(
            "tag_instance", tagid=space.site.tag("relecture"), component="mod_wiki", itemtype="wiki_pages",
            itemid=page, contextid=book.context, timecreated=when, timemodified=when,
        )  # fmt: skip
    space.add("wiki_links", subwikiid=subwiki, frompageid=pages[0], topageid=pages[1])
    space.add("wiki_synonyms", subwikiid=subwiki, pageid=pages[1], pagesynonym="Sommaire")
    space.add("wiki_locks", pageid=pages[0], userid=author, lockedat=when)
    space.file(book.context, "mod_wiki/attachments", subwiki, "photo.jpg", author)
