"""The words of people's files, by meaning and language: the one place to extend.

Of the names of a column, the first that a file has is taken. A word that is not here is not guessed
at: such a kind is no movie, such a status is not seen. The site's own average is nobody's rating.
"""

from __future__ import annotations

import re

from movie_embed.data.names import simplified

_COLUMNS = {
    "title": "en: title movietitle moviename titlename programtitle primarytitle filmtitle "
    "filmname movie film de: titel filmtitel fr: titre es: titulo pelicula it: titolo pl: tytuł "
    "pltitle ru: название фильм zh: 片名 标题 电影 ja: タイトル 作品名 ko: 제목 en: name label",
    "original": "en: originaltitle originalname englishtitle englishname de: originaltitel "
    "fr: titreoriginal it: titolooriginale es: titulooriginal pl: tytuloryginalny tytułoryginalny "
    "ru: оригинальноеназвание английскоеназвание zh: 原名 英文名 ja: 原題 英題 ko: 원제 영문제목",
    "year": "en: year releaseyear yearreleased startyear productionyear de: jahr erscheinungsjahr "
    "fr: annee es: ano it: anno pl: rok rokprodukcji ru: год годвыпуска zh: 年份 年 ja: 公開年 "
    "製作年 ko: 연도 년도 en: releasedate released premiered",
    "imdb": "imdbid imdb const tconst imdbconst imdbtitleid imdburl imdblink imdbnumber",
    "tmdb": "tmdbid tmdb themoviedbid themoviedb moviedbid",
    "movie": "movielensid mlid movielensmovieid",
    "id": "movieid mediaid itemid filmid contentid externalid sourceid id",
    "source": "source idsource provider database",
    "kind": "en: titletype type mediatype kind titlekind itemtype contenttype de: typ art es: tipo "
    "pl: rodzaj ru: тип ja: 種類 ko: 종류",
    "episode": "en: season seasonnumber seasontitle episode episodenumber episodetitle de: staffel "
    "folge fr: saison es: temporada episodio pl: sezon odcinek ru: сезон эпизод",
    "watched": "en: watched iswatched seen isseen played isplayed viewed de: gesehen fr: vu "
    "es: visto pl: obejrzane ru: просмотрено zh: 已看",
    "plays": "playcount plays viewcount watchcount timeswatched",
    "status": "en: status watchstatus liststatus state fr: statut es: estado it: stato ru: статус "
    "zh: 状态 ja: 状態 ko: 상태",
    "user": "en: userid user username uid memberid profilename profile person viewer",
    "date": "en: watcheddate watchdate daterated ratedat timestamp lastwatchedat watchedat date "
    "created dateadded de: datum es: fecha it: data ru: дата zh: 日期 ja: 日付 ko: 날짜",
    "rating": "en: rating stars score star vote starvalue rate grade points de: bewertung wertung "
    "sterne punkte note it: voto pt: nota es: puntuacion calificacion valoracion nl: waardering "
    "pl: ocena ru: оценка рейтинг zh: 评分 打分 ja: 評価 点数 スコア ko: 평점 en: accountrating",
}
_VALUES = {
    "one's own": "en: my your you user userdata personal own mine de: meine mein eigene deine "
    "fr: ma mes votre perso es: mi mis tu it: mio ilmio tuo pt: minha nl: mijn pl: moja moje "
    "ru: моя мои ваша zh: 我的 个人 ja: 自分の マイ ko: 내 나의",
    "movie": "en: movie film featurefilm tvmovie short shortfilm tvshort video tvspecial "
    "documentary de: spielfilm kurzfilm fernsehfilm fr: longmetrage courtmetrage es: pelicula "
    "largometraje it: lungometraggio pt: filme ru: фильм мультфильм fi: elokuva el: ταινια "
    "zh: 电影 影片 动画电影 ja: 映画 アニメ映画 劇場版 ko: 영화 ar: فيلم he: סרט hi: फिल्म",
    "seen": "en: completed complete watched seen finished done rated viewed rewatched released "
    "true yes y x ✓ ✔ de: ja gesehen fr: oui vu es: si visto completado it: completato pt: sim "
    "assistido pl: tak obejrzane ru: да просмотрено просмотрен zh: 看过 已看 是 ja: 見た 完了 はい",
    # Lists in JSON that are named so may hold movies of any kind.
    "any kind": "item items list lists result results data entry entries row rows record records "
    "node nodes rating ratings rated watched seen history watchlist favorite favorites library "
    "collection metadata media content details info value all export user my page edges",
}


def plain(text: str) -> str:
    """Return a name or a word in the form in which they are compared."""
    return re.sub(r"[\W_]", "", simplified(text)) or text.strip()


def _words(text: str) -> list[str]:
    return [plain(word) for word in text.split() if not re.fullmatch("[a-z]{2}:", word)]


COLUMNS = {meaning: _words(text) for meaning, text in _COLUMNS.items()}
_MINE, _MOVIES, SEEN, _NEUTRAL = map(_words, _VALUES.values())
_OWN, _STARS = "|".join(_MINE), "|".join(COLUMNS["rating"])
_TOP = r"(?:(?:outof|[01]|0?5)?(5|10|100))?"  # "Rating10", "Rating (1-10)", "Score out of 100"
_OWN_RATING = re.compile(rf"(?:(?:{_OWN})(?:{_STARS}|rated)|(?:{_STARS})(?:{_OWN})){_TOP}")
_ANY_RATING = re.compile(rf"(?:{_STARS}){_TOP}")


def is_movie(kind: str) -> bool:
    """Whether the word for a kind, one or several, is known to mean movie."""
    return any(plain(kind).removesuffix(end) in _MOVIES for end in ("", "s", "es"))


def kind_of_key(key: str) -> str:
    """Return the kind that the name of a list or an object in JSON says, ``""`` for none."""
    parts = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key))
    return " ".join(part for part in parts if plain(part) not in _NEUTRAL)


def own_rating(column: str) -> tuple[int, float | None] | None:
    """Return the rank of a column of ratings, 0 for one's own, and its scale if it says one."""
    for rank, pattern in enumerate((_OWN_RATING, _ANY_RATING)):
        if found := pattern.fullmatch(plain(column)):
            return rank, float(found[1]) if found[1] else None
    return None


def known_columns(header: list[str]) -> int:
    """Return how many columns have a name that is known."""
    known = {word for common in COLUMNS.values() for word in common}
    return sum(plain(name) in known or own_rating(name) is not None for name in header)
