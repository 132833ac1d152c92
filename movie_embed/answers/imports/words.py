"""The words of people's files, by meaning and language: the one place to extend.

Blanks, accents, case and punctuation do not count. Of the names of a column, the first that a file
has is taken. A word that is not here is not guessed at: such a kind is no movie, such a status is
not seen. The site's own average is nobody's rating, so "IMDb Rating" is not here either.
"""

from __future__ import annotations

import re

from movie_embed.data.names import simplified

_COLUMNS = {
    "title": "en: title movietitle moviename titlename programtitle primarytitle filmtitle "
    "filmname movie film de: titel filmtitel deutschertitel fr: titre titredufilm "
    "es: titulo pelicula it: titolo pt: tituloportugues pl: tytul tytuł tytulpolski pltitle "
    "ru: название фильм uk: назва tr: filmadi baslik cs: nazev hu: cim el: τίτλος fi: nimi "
    "zh: 片名 标题 电影 名称 ja: タイトル 作品名 邦題 映画 ko: 제목 영화 영화제목 en: name label",
    "original": "en: originaltitle originalname de: originaltitel fr: titreoriginal "
    "it: titolooriginale es: titulooriginal nl: oorspronkelijketitel pl: tytuloryginalny "
    "tytułoryginalny ru: оригинальноеназвание uk: оригінальнаназва tr: orijinaladi ozgunadi "
    "zh: 原名 外文名 ja: 原題 ko: 원제",
    "english": "en: englishtitle englishname titleen internationaltitle de: englischertitel "
    "fr: titreanglais es: tituloeningles ru: английскоеназвание zh: 英文名 ja: 英題 ko: 영문제목",
    "year": "en: year releaseyear yearreleased startyear productionyear de: jahr erscheinungsjahr "
    "produktionsjahr fr: annee es: ano it: anno nl: jaar pl: rok rokprodukcji ru: год годвыпуска "
    "uk: рік tr: yil yapimyili cs: rok hu: ev el: ετος fi: vuosi sv: ar zh: 年份 年 年代 "
    "ja: 年 公開年 製作年 ko: 연도 년도 개봉연도 en: releasedate released premiered",
    "imdb": "imdbid imdb const tconst imdbconst imdbtitleid imdburl imdblink imdbnumber",
    "tmdb": "tmdbid tmdb themoviedbid themoviedb moviedbid",
    "movie": "movielensid mlid movielensmovieid",
    "id": "movieid mediaid itemid filmid contentid externalid sourceid id",
    "source": "en: source idsource provider idprovider database de: quelle fr: source es: fuente",
    "kind": "en: titletype type mediatype kind titlekind itemtype contenttype de: typ "
    "es: tipo pl: rodzaj nl: soort ru: тип uk: тип ja: 種類 種別 ko: 종류 유형",
    "episode": "en: season seasonnumber seasontitle episode episodenumber episodetitle "
    "de: staffel folge fr: saison es: temporada episodio pl: sezon odcinek ru: сезон эпизод серия",
    "watched": "en: watched iswatched seen isseen played isplayed viewed de: gesehen fr: vu "
    "es: vista visto it: visto pt: assistido nl: gezien pl: obejrzane ru: просмотрено "
    "uk: переглянуто tr: izlendi zh: 已看 ja: 視聴済み ko: 시청",
    "plays": "playcount plays viewcount watchcount timeswatched",
    "status": "en: status watchstatus liststatus state fr: statut es: estado it: stato ru: статус "
    "tr: durum zh: 状态 ja: 状態 ステータス ko: 상태",
    "user": "en: userid user username uid memberid profilename profile person viewer "
    "de: benutzer nutzer fr: utilisateur es: usuario ru: пользователь",
    "date": "en: watcheddate watchdate daterated ratedat timestamp lastwatchedat watchedat date "
    "created dateadded de: datum fr: date es: fecha it: data pl: data ru: дата zh: 日期 "
    "ja: 日付 ko: 날짜",
    "rating": "en: rating stars score star vote starvalue rate grade points de: bewertung wertung "
    "sterne punkte note fr: note it: voto pt: nota avaliacao es: puntuacion calificacion "
    "valoracion nota nl: waardering beoordeling cijfer pl: ocena gwiazdki sv: betyg "
    "da: karakter bedommelse cs: hodnoceni tr: puan hu: ertekeles el: βαθμολογια fi: arvosana "
    "ru: оценка рейтинг uk: оцінка zh: 评分 打分 ja: 評価 点数 スコア ko: 평점 별점 "
    "en: accountrating",
}
_OWN = (
    "en: my your you user users userdata personal own mine de: meine mein eigene deine ihre "
    "fr: ma mes votre vos ta perso es: mi mis tu it: mio ilmio tuo iltuo pt: minha meu sua "
    "nl: mijn jouw pl: moja moje twoja sv: mitt min ditt da: min din cs: moje tr: benim "
    "ru: моя мои ваша uk: моя zh: 我的 个人 ja: 自分の マイ ko: 내 나의"
)
_MOVIE = (
    "en: movie film featurefilm tvmovie short shortfilm tvshort video tvspecial documentary "
    "de: spielfilm kurzfilm fernsehfilm dokumentarfilm fr: longmetrage courtmetrage documentaire "
    "es: pelicula largometraje cortometraje documental it: lungometraggio cortometraggio "
    "documentario pt: filme longametragem curtametragem nl: speelfilm ru: фильм мультфильм "
    "короткометражка uk: фільм мультфільм fi: elokuva el: ταινια zh: 电影 影片 動畫電影 动画电影 "
    "ja: 映画 アニメ映画 劇場版 ko: 영화 ar: فيلم he: סרט hi: फिल्म"
)
_SEEN = (
    "en: completed complete watched seen finished done rated viewed rewatched released true yes y "
    "x ✓ ✔ de: ja gesehen abgeschlossen beendet fr: oui vu termine es: si visto vista completado "
    "it: completato pt: sim assistido completo nl: gezien voltooid pl: tak obejrzane sv: sedd "
    "tr: izlendi ru: да просмотрено просмотрен uk: так переглянуто zh: 看过 已看 是 "
    "ja: 視聴済み 視聴済 見た 完了 はい ko: 봤어요 완료"
)
# Lists in JSON that are named so may hold movies of any kind.
_NEUTRAL = (
    "item items list lists result results data entry entries row rows record records node nodes "
    "rating ratings rated watched seen history watchlist favorite favorites favourites library "
    "collection metadata media content details info value all export user my page edges"
)


def plain(text: str) -> str:
    """Return a name or a word in the form in which they are compared."""
    return re.sub(r"[\W_]", "", simplified(text)) or text.strip()


def _words(text: str) -> list[str]:
    return [plain(word) for word in text.split() if not re.fullmatch("[a-z]{2}:", word)]


COLUMNS = {meaning: _words(text) for meaning, text in _COLUMNS.items()}
SEEN, _MOVIES, _NOTHING = ({*_words(text)} for text in (_SEEN, _MOVIE, _NEUTRAL))
_KNOWN = {word for words in COLUMNS.values() for word in words}
_MINE, _STARS = "|".join(_words(_OWN)), "|".join(COLUMNS["rating"])
_TOP = r"(?:(?:outof|[01]|0?5)?(5|10|100))?"  # "Rating10", "Rating (1-10)", "Score out of 100"
_OWN_RATING = re.compile(rf"(?:(?:{_MINE})(?:{_STARS}|rated)|(?:{_STARS})(?:{_MINE})){_TOP}")
_ANY_RATING = re.compile(rf"(?:{_STARS}){_TOP}")


def is_movie(kind: str) -> bool:
    """Whether the word for a kind, one or several, is known to mean movie."""
    return not _MOVIES.isdisjoint(plain(kind).removesuffix(end) for end in ("", "s", "es"))


def kind_of_key(key: str) -> str:
    """Return the kind that the name of a list or an object in JSON says, ``""`` for none."""
    parts = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", key))
    return " ".join(part for part in parts if plain(part) not in _NOTHING)


def own_rating(column: str) -> tuple[int, float | None] | None:
    """Return the rank of a column of ratings, 0 for one's own, and its scale if it says one."""
    for rank, pattern in enumerate((_OWN_RATING, _ANY_RATING)):
        if found := pattern.fullmatch(plain(column)):
            return rank, float(found[1]) if found[1] else None
    return None


def known_columns(header: list[str]) -> int:
    """Return how many columns have a name that is known."""
    return sum(plain(name) in _KNOWN or own_rating(name) is not None for name in header)
