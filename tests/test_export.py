"""Files for other tools, read back."""

import csv
from pathlib import Path

import numpy as np
import pytest
from embedded import MOVIES, random_vectors, saved

from movie_embed import MovieEmbedError, Recommender
from movie_embed.config import EXPORT_FORMATS
from movie_embed.embeddings.export import EXPORTS, export
from movie_embed.embeddings.saved import SavedEmbeddings, UserEmbeddings


@pytest.fixture(scope="module")
def embeddings() -> SavedEmbeddings:
    embeddings = saved(random_vectors())
    embeddings.movies.titles[0] = "A\tTab, two  spaces (1960)"
    embeddings.movies.titles[1:3] = ["Twin (2000)", "Twin (2000)"]
    embeddings.movies.titles[3] = ""
    return embeddings


def test_the_settings_name_every_export() -> None:
    assert tuple(EXPORTS) == EXPORT_FORMATS


def test_tsv(embeddings: SavedEmbeddings, tmp_path: Path) -> None:
    vectors, metadata = export(embeddings, ["tsv"], tmp_path)
    assert np.loadtxt(vectors, dtype=np.float32).tobytes() == embeddings.vectors.tobytes()
    rows = list(csv.reader(metadata.read_text().splitlines(), delimiter="\t"))
    assert rows[0] == ["movie_id", "title", "year", "genres", "rating_count"]
    assert rows[1] == ["10", "A Tab, two spaces", "1960", "Comedy|Drama", "500"]
    assert len(rows) == MOVIES + 1
    assert {len(row) for row in rows} == {5}


def test_parquet(embeddings: SavedEmbeddings, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    path, _ = export(embeddings, ["parquet"], tmp_path)
    table = pq.read_table(path)
    assert np.array(table["vector"].to_pylist(), np.float32).tolist() == embeddings.vectors.tolist()
    assert table["bias"].to_numpy().tolist() == embeddings.biases.tolist()
    assert table["movie_id"].to_pylist() == embeddings.movies.ids[:MOVIES].tolist()
    assert table["year"].to_pylist()[:4] == [1960, 2000, 2000, None]


def test_users_are_exported_where_they_were_saved(demo_folder: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    saved = SavedEmbeddings.load(demo_folder / "run")
    users = saved.load_part("user", UserEmbeddings)
    movies, path = export(saved, ["parquet"], tmp_path)
    assert movies.name == "movies.parquet"
    table = pq.read_table(path)
    assert table["user_id"].to_pylist() == users.ids.tolist()
    assert np.array(table["vector"].to_pylist(), np.float32).tolist() == users.vectors.tolist()


def test_word2vec_text(embeddings: SavedEmbeddings, tmp_path: Path) -> None:
    (path,) = export(embeddings, ["word2vec"], tmp_path)
    first, *lines = path.read_text().splitlines()
    assert first == f"{MOVIES} {embeddings.vectors.shape[1]}"
    words = [line.split(" ")[0] for line in lines]
    assert words[:4] == ["A_Tab,_two_spaces_(1960)", "Twin_(2000)_20", "Twin_(2000)_30", "movie_40"]
    assert len(set(words)) == MOVIES
    numbers = np.array([line.split(" ")[1:] for line in lines], np.float32)
    assert numbers.tobytes() == embeddings.vectors.tobytes()


def test_faiss_neighbours_equal_ours(embeddings: SavedEmbeddings, tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    (path,) = export(embeddings, ["faiss"], tmp_path)
    index = faiss.read_index(str(path))
    unit = embeddings.vectors / np.linalg.norm(embeddings.vectors, axis=1, keepdims=True)
    cosines, ids = index.search(unit, 11)
    recommender = Recommender(embeddings)
    for row, movie_id in enumerate(embeddings.movies.ids[:MOVIES].tolist()):
        answers = recommender.similar(movie_id)
        assert ids[row].tolist() == [movie_id, *(answer.movie_id for answer in answers)]
        ours = [1.0, *(answer.similarity for answer in answers)]
        assert cosines[row].tolist() == pytest.approx(ours, abs=1e-5)


def test_faiss_leaves_out_vectors_without_direction(tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    vectors = random_vectors()
    vectors[1:] = 0
    (path,) = export(saved(vectors), ["faiss"], tmp_path)
    assert faiss.read_index(str(path)).ntotal == 1
    with pytest.raises(MovieEmbedError, match=r"nothing to index.*lower model\.ridge"):
        export(saved(0 * vectors), ["faiss"], tmp_path)


def test_a_folder_that_cannot_be_made_is_told(embeddings: SavedEmbeddings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(MovieEmbedError, match="cannot write"):
        export(embeddings, ["tsv"], tmp_path / "file")
