"""What the name of a column says about its part: the words that logs of the field use."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise

USER = {
    "user": 10, "uid": 10, "visitor": 9, "customer": 9, "member": 9, "reviewer": 9, "viewer": 9,
    "steamid": 9, "msno": 9, "listener": 9, "reader": 9, "player": 8, "client": 8, "buyer": 8,
    "account": 8, "person": 8, "subscriber": 8, "consumer": 8, "learner": 8, "student": 8,
    "profile": 7, "author": 6, "u": 6, "username": 9, "login": 7, "nickname": 6,
}  # fmt: skip
"""Words for who acts -> how surely they mean the user."""
STAND_INS = {"session": 5, "sess": 5, "cookie": 5, "household": 5, "device": 4, "ip": 2}
"""Words for what may stand in for a user where none is named."""
ITEM = {
    "item": 10, "asin": 10, "iid": 10, "movie": 9, "product": 9, "sku": 9, "article": 9, "video": 9,
    "song": 9, "track": 9, "book": 9, "isbn": 9, "listing": 9, "goods": 9, "hotel": 9, "job": 9,
    "news": 9, "business": 9, "venue": 9, "poi": 9, "game": 8, "stock": 8, "recipe": 8,
    "anime": 8, "manga": 8, "beer": 8, "wine": 8,
    "podcast": 8, "episode": 8, "post": 8, "photo": 8, "course": 8, "restaurant": 8, "location": 7,
    "app": 7, "ad": 7, "adgroup": 7, "content": 7, "document": 7, "doc": 7, "offer": 7,
    "creative": 6, "artist": 6, "i": 6, "campaign": 5, "page": 5, "url": 5, "question": 5,
    "merchant": 4, "shop": 4, "site": 4, "store": 4, "pid": 1, "query": 3, "banner": 3,
}  # fmt: skip
"""Words for what is taken or shown -> how surely they mean the item."""
SURE = 6
"""From here on a word means its part; below, it is a stand-in."""
TIME = {
    "timestamp": 10, "time": 9, "datetime": 9, "ts": 9, "date": 8, "at": 7, "hour": 6, "day": 5,
    "dt": 6, "created": 6, "when": 6, "unixreviewtime": 10, "t": 4,
}  # fmt: skip
LABEL = {
    "click": 10, "clicked": 10, "clk": 10, "label": 9, "target": 7, "y": 6, "conversion": 6,
    "converted": 6, "purchase": 5, "purchased": 5, "buy": 5, "bought": 5, "like": 5, "liked": 5,
    "positive": 5, "response": 5, "installed": 5, "install": 5, "recommended": 4,
}  # fmt: skip
YES_NO = (
    {"yes", "no"}, {"y", "n"}, {"t", "f"}, {"ja", "nein"}, {"j", "n"}, {"oui", "non"}, {"o", "n"},
    {"si", "no"}, {"s\u00ed", "no"}, {"sim", "n\u00e3o"}, {"da", "net"}, {"tak", "nie"},
    {"on", "off"},
)  # fmt: skip
"""Pairs of words, in small letters, for 1 and 0."""
RATING = {
    "rating": 10, "ratings": 10, "stars": 10, "star": 9, "overall": 8, "score": 6, "rate": 5,
    "watchratio": 5, "grade": 5,
}  # fmt: skip
OUTCOMES = {
    *LABEL, *RATING, "share", "shared", "forward", "follow", "comment", "collect", "favorite",
    "favourite", "attribution", "cpo", "cost", "revenue", "dwell", "duration", "watch", "play",
    "watched", "played", "listened", "viewed",
    "playtime", "stay", "view", "hate", "thumbsup", "helpful", "votes", "vote", "review", "order",
    "visit", "unsub", "progress", "profit", "refund", "cart", "funny", "useful", "cool",
} - {"target", "y", "response", "score", "rate"}  # fmt: skip
"""Words for what happens with the label or after it: a feature of that name would tell it."""
FEATURES = {
    "feature", "category", "categories", "cat", "type", "age", "gender", "sex", "price", "name",
    "title", "city", "count", "num", "number", "rank", "affinity", "embedding", "active", "level",
    "brand", "group", "segment", "country", "lang", "language", "domain", "model", "pos",
    "position", "size", "text", "tags", "genre", "genres", "color", "degree", "is", "nb",
    "register", "verified", "score", "avg", "mean", "agent",
}  # fmt: skip
"""Words for properties of a user or an item, which are not who or what it is."""
AMOUNTS = {
    "price", "count", "num", "number", "age", "amount", "quantity", "qty", "nb", "length", "len",
    "size", "cost", "duration", "days", "hours", "hour", "minutes", "seconds", "score", "avg",
    "mean", "sum", "total", "ratio", "rate", "rank", "bid", "distance", "cnt", "times", "since",
    "affinity", "lat", "latitude", "lon", "longitude", "propensity", "fans", "followers", "friends",
}  # fmt: skip
"""Words for numbers that mean an amount; other whole numbers may be codes."""
CODES = {"id", "code", "cat", "category", "type", "zip", "hash", "key", "class", "idx", "index"}
HISTORIES = {"history", "hist", "past", "previous", "prev", "clicked", "seen", "bought", "recent"}
WEIGHTS = {"weight", "weights", "score", "scores", "w"}
EVENTS = {"event", "behavior", "behaviour", "action", "interaction"}
HAPPENINGS = {
    "view", "pv", "click", "cart", "addtocart", "buy", "purchase", "transaction", "fav", "like",
    "impression", "listen", "play", "skip", "order", "clickout", "share", "remove",
    "remove_from_cart",
}  # fmt: skip
"""Values that say what kind of event a row is."""


def is_id(name: str) -> bool:
    """Whether a name says who or what, so that its numbers may have the size of unix times by
    chance."""
    sure = max(strength(name, USER), strength(name, ITEM)) >= SURE
    return sure or "id" in words_of(name)


def without_prefix(log: Iterable[str], time: str) -> dict[str, str]:
    """Each column's name as far as it tells it from others: in a log of click_timestamp,
    click_article_id and click_os the word click says what the log is of, and no column's part."""
    first, words = words_of(time)[:1], {n: words_of(n) for n in log}
    alike = {n for n, w in words.items() if w[:1] == first}
    if not first or len(alike) < 3:
        return {n: n for n in words}
    return {
        n: n[n.lower().index(first[0]) + len(first[0]) :] if n in alike and w != first else n
        for n, w in words.items()
    }


def words_of(name: str) -> list[str]:
    """`userId`, `user_id:token` and `User ID` -> user, id."""
    name = re.sub(r":(token|float)(_seq)?$", "", name)  # RecBole's types
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()
    return re.findall(r"[a-z]+", name)


def _with_id(word: str, words: dict[str, int]) -> list[str]:
    """`userid` as user, id."""
    stem = word.removesuffix("id")
    return [stem, "id"] if word not in words and stem != word and stem in words else [word]


def strength(name: str, words: dict[str, int]) -> int:
    """How surely a name means a part: the best of its words, more with `id` or alone, much less as
    a property such as `item_category`; 0 for another part."""
    found = [w if w in words else w.removesuffix("s") for w in words_of(re.split("[/.]", name)[-1])]
    ids = any(words is who for who in (USER, STAND_INS, ITEM))
    found = [v for w in found for v in (_with_id(w, words) if ids else [w])]
    joined = "".join(found)
    best = max((words[w] for w in found if w in words), default=0)
    forms = ("{}", "is{}", *(("{}id", "{}idx", "id{}") if ids else ()))
    whole = [w for w in words if joined in [form.format(w) for form in forms]]
    if whole:
        return max(best, *(words[w] for w in whole)) + 4
    # the id of a user is one whatever stands before it, and so is his name
    named = [words[w] for w, after in pairwise(found) if after in ("id", "name") and w in words]
    if ids and named:
        return max(named) + 2 * ("id" in found)
    if best and FEATURES & {*found}:
        return 1
    return best + 2 if ids and best and "id" in found else best
