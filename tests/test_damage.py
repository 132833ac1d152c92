"""Files that were cut, altered, swapped or made by others: refused in one line, and never run."""

from __future__ import annotations

import io
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from movie_embed import MovieEmbedError, Recommender
from movie_embed.embeddings.saved import ContentVectors, SavedEmbeddings, UserEmbeddings
from movie_embed.storage import FORMAT_VERSION, read_columns, write_columns
from movie_embed.training.checkpoints import AtomicCheckpointIO, BackgroundCheckpointIO
from movie_embed.training.regression import RatingRegression

GOLDEN = Path(__file__).parent / "golden" / "v1"
CHECKPOINT, EMBEDDINGS = GOLDEN / "last.ckpt", GOLDEN / "embeddings.safetensors"


class Bomb:
    """Fails the test where it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return (pytest.fail, ("a pickle was run",))


def bombs() -> dict[str, bytes]:
    """Return pickles that run code: plain, by torch's old writer, in torch's archive."""
    old, new = io.BytesIO(), io.BytesIO()
    torch.save(Bomb(), old, _use_new_zipfile_serialization=False)
    torch.save({"state_dict": Bomb()}, new)
    return {"plain": pickle.dumps(Bomb()), "old": old.getvalue(), "new": new.getvalue()}


def load_checkpoint(path: Path) -> dict[str, Any]:
    return AtomicCheckpointIO().load_checkpoint(path)


def content(value: Any) -> object:
    """Return what a checkpoint holds, to be compared."""
    if isinstance(value, dict):
        return {key: content(part) for key, part in value.items()}
    if isinstance(value, list):
        return [content(part) for part in value]
    return value.tolist() if isinstance(value, torch.Tensor) else value


def load_embeddings(path: Path) -> SavedEmbeddings:
    embeddings = SavedEmbeddings.load(path)
    assert embeddings.load_part("user", UserEmbeddings)
    assert embeddings.load_part("content", ContentVectors)
    return embeddings


def refusal(load: Callable[[Path], object], path: Path) -> str:
    """Return the one line that a file is refused with, which names it."""
    with pytest.raises(MovieEmbedError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("kind", ["plain", "old", "new"])
def test_a_file_that_runs_code_does_not_get_to(kind: str, tmp_path: Path) -> None:
    (checkpoint := tmp_path / "last.ckpt").write_bytes(bombs()[kind])
    assert "or holds more than numbers" in refusal(load_checkpoint, checkpoint)
    (embeddings := tmp_path / "embeddings.safetensors").write_bytes(bombs()[kind])
    assert "cannot be read as embeddings" in refusal(load_embeddings, embeddings)
    (pointer := tmp_path / "latest").write_bytes(b"\x80" + bombs()[kind])
    assert "names no run folder" in refusal(load_embeddings, pointer)


@pytest.mark.parametrize("original", [CHECKPOINT, EMBEDDINGS], ids=["checkpoint", "embeddings"])
def test_a_cut_file_is_refused(original: Path, tmp_path: Path) -> None:
    load = load_checkpoint if original is CHECKPOINT else load_embeddings
    whole, path = original.read_bytes(), tmp_path / original.name
    for length in [0, 1, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        refusal(load, path)
    path.unlink()
    with pytest.raises(MovieEmbedError, match=str(tmp_path)):
        load(path)
    with pytest.raises(MovieEmbedError, match=str(tmp_path)):
        load(tmp_path)


def test_no_flipped_bit_changes_what_a_checkpoint_gives(tmp_path: Path) -> None:
    whole, path, load = CHECKPOINT.read_bytes(), tmp_path / "last.ckpt", load_checkpoint
    expected = content(load(CHECKPOINT))
    refused = 0
    rng = np.random.default_rng(0)
    positions = rng.choice(len(whole), 150, replace=False).tolist()
    for position in positions:
        flipped = whole[position] ^ (1 << rng.integers(8))
        path.write_bytes(whole[:position] + bytes([flipped]) + whole[position + 1 :])
        try:
            assert content(load(path)) == expected  # the bit is of the archive's padding
        except MovieEmbedError as error:
            assert str(path) in str(error)
            refused += 1
    with zipfile.ZipFile(CHECKPOINT) as archive:
        held = sum(member.file_size for member in archive.infolist())
    assert refused > 0.9 * held / len(whole) * len(positions)


@pytest.mark.parametrize("part", ["weights", "moments", "vectors"])
def test_what_holds_nan_is_refused(part: str, tmp_path: Path) -> None:
    if part == "vectors":
        columns, metadata = read_columns(EMBEDDINGS, "embeddings")
        columns["movie_vectors"] = np.where(columns["movie_vectors"] > 0, np.nan, 0)
        write_columns(tmp_path / EMBEDDINGS.name, "embeddings", columns, metadata)
        told = refusal(load_embeddings, tmp_path / EMBEDDINGS.name)
        assert "movie_vectors that are not finite" in told
        return
    state = load_checkpoint(CHECKPOINT)
    moments = state["optimizer_states"][0]["state"][0]["exp_avg"]
    table = state["state_dict"]["model.user_biases"] if part == "weights" else moments
    table.view(-1)[3] = float("nan")
    AtomicCheckpointIO().save_checkpoint(state, tmp_path / "last.ckpt")
    assert "not finite" in refusal(load_checkpoint, tmp_path / "last.ckpt")


def test_a_checkpoint_that_memory_has_no_room_for_is_not_called_damaged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*args: object, **settings: object) -> None:
        torch.empty(2**60)

    monkeypatch.setattr(torch, "load", full)
    assert "not enough memory" in refusal(load_checkpoint, CHECKPOINT)


def test_a_checkpoint_of_another_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "last.ckpt"
    state = load_checkpoint(CHECKPOINT)
    torch.save({**state, "movie_embed_format": FORMAT_VERSION + 1}, path)
    assert "update movie_embed" in refusal(load_checkpoint, path)
    for other in ({"state_dict": {}}, [1, 2], torch.zeros(2)):
        torch.save(other, path)
        assert "no checkpoint of movie_embed" in refusal(load_checkpoint, path)


def test_version_1_embeddings_answer_as_ever(tmp_path: Path) -> None:
    shutil.copy(EMBEDDINGS, tmp_path)
    recommender = Recommender.load(tmp_path)
    similar = [(a.movie_id, round(a.similarity or 0, 4)) for a in recommender.similar(101, k=4)]
    assert similar == [(109, 1.0), (129, 1.0), (121, 0.9999), (137, 0.9996)]
    rare = recommender.similar("Never Rated", k=2)
    assert [(a.movie_id, round(a.similarity or 0, 4)) for a in rare] == [
        (102, 0.6328),
        (130, 0.6293),
    ]
    user = [(a.movie_id, round(a.predicted_stars or 0, 3)) for a in recommender.for_user(3, k=2)]
    assert user == [(120, 3.781), (128, 3.726)]
    new = recommender.for_ratings({101: 5, 102: 0.5}, k=1)[0]
    assert (new.movie_id, round(new.predicted_stars or 0, 3)) == (125, 3.340)


def test_a_version_1_implicit_run_answers_by_what_it_predicts_with(tmp_path: Path) -> None:
    columns, metadata = read_columns(EMBEDDINGS, "embeddings")
    columns["predicting_vectors"] = columns["movie_vectors"][::-1].copy()
    metadata["predicting"] = True
    write_columns(tmp_path / EMBEDDINGS.name, "embeddings", columns, metadata)
    vectors = SavedEmbeddings.load(tmp_path).vectors
    assert vectors.tobytes() == columns["predicting_vectors"].tobytes()


def test_a_version_1_checkpoint_predicts_as_ever() -> None:
    state = load_checkpoint(CHECKPOINT)
    module = RatingRegression(**state["hyper_parameters"])
    module.load_state_dict(state["state_dict"])
    assert (state["epoch"], state["global_step"]) == (11, 720)
    vectors = module.model.movie_vectors.detach().numpy()
    assert vectors.tobytes() == SavedEmbeddings.load(GOLDEN).vectors.tobytes()
    stars = module.model(torch.tensor([0, 1, 239]), torch.tensor([0, 5, 39]))
    assert [round(star, 3) for star in stars.tolist()] == [1.447, 1.780, 1.347]
    assert state["optimizer_states"][0]["state"][0]["exp_avg"].shape == (240, 4)


def test_a_checkpoint_is_a_copy_and_its_failure_is_told_next(tmp_path: Path) -> None:
    state = AtomicCheckpointIO().load_checkpoint(GOLDEN / "last.ckpt")
    table = state["state_dict"]["model.user_vectors"]
    expected = table.clone()
    io = BackgroundCheckpointIO()
    io.save_checkpoint(state, tmp_path / "last.ckpt")
    table.zero_()
    written = io.load_checkpoint(tmp_path / "last.ckpt")
    assert torch.equal(written["state_dict"]["model.user_vectors"], expected)
    (tmp_path / "file").touch()
    for tell in (lambda: io.save_checkpoint(state, tmp_path / "best.ckpt"), io.teardown):
        io.save_checkpoint(state, tmp_path / "file" / "last.ckpt")
        with pytest.raises(MovieEmbedError, match="cannot write"):
            tell()
    assert not (tmp_path / "best.ckpt").exists()
