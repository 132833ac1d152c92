"""Lists by implicit, LensKit or cornac: `ranked.py DATA.npz MODEL SETTINGS SEED`.

The "val" split is what people give. A rating counts 1, or with `stars` its share of the highest.
"""

import json

import numpy as np
from scipy.sparse import csr_matrix
from split import arguments, columns, high, leave, movies

name, settings, seed = arguments[0], json.loads(arguments[1]), int(arguments[2])
weighted = settings.pop("stars", False)


def _matrix(users, rows, stars):
    values = stars / high if weighted else np.ones(len(stars))
    return csr_matrix((values.astype(np.float32), (users, rows)), (users.max() + 1, movies))


people, *rated = columns("val")
ids, people = np.unique(people, return_inverse=True)
train, given, places = _matrix(*columns("train")), _matrix(people, *rated), np.arange(len(ids))
if name in ("als", "bpr"):
    from implicit.als import AlternatingLeastSquares
    from implicit.bpr import BayesianPersonalizedRanking
    from threadpoolctl import threadpool_limits

    kind = AlternatingLeastSquares if name == "als" else BayesianPersonalizedRanking
    with threadpool_limits(1, "blas"):  # as implicit asks for
        model = kind(**settings, use_gpu=False, random_state=seed)
        model.fit(train, show_progress=False)
        vectors = (
            model.user_factors[ids] if name == "bpr" else model.recalculate_user(places, given)
        )
    scores = vectors @ model.item_factors.T
elif name == "ease":
    from cornac.data import Dataset
    from cornac.models import EASE

    entries = (part.tolist() for part in (*train.nonzero(), train.data))
    data = Dataset.from_uir(list(zip(*entries, strict=True)))
    model = EASE(**settings, posB=False, verbose=False).fit(data)
    known, scores = list(data.iid_map), np.full(given.shape, -np.inf, np.float32)
    scores[:, known] = given[:, known] @ model.B
else:
    import pandas as pd
    from lenskit.als import ImplicitMFScorer
    from lenskit.data import ItemList, RecQuery, from_interactions_df
    from lenskit.knn import ItemKNNScorer
    from lenskit.training import TrainingOptions

    users, rows = train.nonzero()
    model = {"mf": ImplicitMFScorer, "knn": ItemKNNScorer}[name](**settings)
    data = from_interactions_df(pd.DataFrame({"user_id": users, "item_id": rows}))
    model.train(data, TrainingOptions(rng=seed))
    queries = (RecQuery(user_items=ItemList(item_ids=given[row].indices)) for row in places)
    every = ItemList(item_ids=np.arange(movies))
    scores = np.nan_to_num([model(query, every).scores() for query in queries], nan=-np.inf)
leave(scores, [])
