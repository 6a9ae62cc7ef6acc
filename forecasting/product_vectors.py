"""What is known of a product beside its attributes, as vectors: its text, or a shop's own file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import OneHotEncoder, normalize

from ..data import DataError

PENALTIES = np.logspace(-1, 3, 9)
WORD_DIMENSIONS = 200
_TEXT_WEIGHTS = (0.3, 1.0, 3.0)
_LARGEST_RATIO = 2.0
"""Products whose prices differ by this factor are as far apart as those whose texts share nothing."""


def product_texts(products: pd.DataFrame) -> pd.Series:
    """The text of each product: its name and its `text`, where known.

    Args:
        products: `product` and, optionally, `name` and `text`.

    Example:
        >>> product_texts(pd.DataFrame({"product": ["a"], "name": ["Fig jam"], "text": [None]}))["a"]
        'Fig jam'
    """
    columns = [products[name].fillna("") for name in ("name", "text") if name in products]
    texts = [" ".join(parts).strip() for parts in zip(*columns, strict=True)] if columns else ""
    return pd.Series(texts, index=pd.Index(products["product"]), dtype=str)


def words_of(text: str) -> list[str]:
    """The words and numbers of a text, in small letters.

    Example:
        >>> words_of("Fig jam, 2.5 OZ")
        ['fig', 'jam', '2', '5', 'oz']
    """
    return re.findall(r"[^\W_]+", text.lower())


def word_vectors(texts: pd.Series) -> pd.DataFrame:
    """Tf-idf of the words, reduced by singular vectors where there are more than `WORD_DIMENSIONS`.

    Args:
        texts: text by product, of known and new products together.

    Returns:
        One row per product, of length 1 (0 where a text has no word that another has, too).

    Example:
        >>> texts = pd.Series({"a": "fig jam", "b": "plum jam", "c": "soap", "d": "fig soap"})
        >>> word_vectors(texts).shape
        (4, 3)
    """
    vectorizer = TfidfVectorizer(analyzer=words_of, min_df=2, sublinear_tf=True)  # pyright: ignore[reportArgumentType]
    try:
        found: Any = vectorizer.fit_transform(texts)
    except ValueError:  # no word is in two texts
        return pd.DataFrame(index=texts.index)
    size = min(WORD_DIMENSIONS, len(texts) - 1)
    small = found.shape[1] <= size
    dense: Any = found.toarray() if small else normalize(TruncatedSVD(size, random_state=0).fit_transform(found))
    return pd.DataFrame(np.asarray(dense), index=texts.index)


def meaning_vectors(texts: pd.Series) -> pd.DataFrame:
    """Embeddings of texts (256 numbers) in which words of like meaning are close, words never seen included.

    By the `wordllama` package (extra `text`), which ships its weights: nothing is downloaded. English mostly.
    """
    import wordllama

    home = Path(wordllama.__file__).parent
    model = wordllama.WordLlama.load(cache_dir=home, disable_download=True)
    known = texts.str.strip() != ""
    vectors = np.zeros((len(texts), 256))
    if known.any():
        vectors[known.to_numpy()] = model.embed(list(texts[known]), norm=True)
    return pd.DataFrame(vectors, index=texts.index)


def own_vectors(table: pd.DataFrame) -> pd.DataFrame:
    """Vectors that a shop made itself, such as of images, by product.

    Args:
        table: `product`, and columns of numbers or of texts that are numbers.

    Raises:
        DataError: it has no product or nothing else, names a product twice, or a value is no finite number.

    Example:
        >>> own_vectors(pd.DataFrame({"product": ["a"], "v1": ["0.5"]})).loc["a", "v1"]
        np.float64(0.5)
    """
    if "product" not in table or len(table.columns) < 2:
        raise DataError(f"vectors must have product and numbers; got {', '.join(map(str, table))}; add them")
    vectors = table.assign(product=table["product"].astype(str)).set_index("product")
    if vectors.index.has_duplicates:
        twice = vectors.index[vectors.index.duplicated()][0]
        raise DataError(f"vectors must name a product once; got {twice!r} twice; leave one out")
    for name in vectors:
        numbers = pd.to_numeric(vectors[name], errors="coerce").astype(float)
        wrong = ~np.isfinite(numbers)
        if wrong.any():
            raise DataError(f"vectors must be finite numbers; got {vectors[name][wrong].iloc[0]!r} in {name}; fix it")
        vectors[name] = numbers
    return vectors.astype(float)


def scaled(vectors: pd.DataFrame, known: pd.Index) -> pd.DataFrame:
    """Vectors around the mean of the known products, whose mean squared length becomes 1.

    Args:
        vectors: one row per product; a product without one gets the mean.
        known: the products that set mean and scale.
    """
    own = vectors.loc[vectors.index.intersection(known)]
    centred = vectors - own.mean()
    size = np.sqrt((centred.loc[own.index] ** 2).sum(axis=1).mean()) if len(own) else 0.0
    return centred / size if size > 0 else centred * 0.0


def block_weights(attributes: np.ndarray, blocks: Sequence[np.ndarray], level: pd.Series) -> list[float]:
    """How far each block of further columns may explain the level, beside the attributes.

    A block's weight is the one with the least squared error of leaving out each product; it is 0 unless
    that improves on the blocks before by more than one standard error.

    Args:
        attributes: (N, K).
        blocks: each (N, V), of mean squared row length 1.
        level: log units of the N products.
    """
    design = attributes
    weights = []
    before = _left_out(attributes, level)
    for block in blocks:
        tried = {weight: _left_out(np.hstack([design, weight * block]), level) for weight in _TEXT_WEIGHTS}
        best = min(tried, key=lambda weight: tried[weight].mean())
        gain = before - tried[best]
        useful = bool(gain.mean() > gain.std() / np.sqrt(len(gain)))
        weights.append(best if useful else 0.0)
        if useful:
            design = np.hstack([design, best * block])
            before = tried[best]
    return weights


def _left_out(design: np.ndarray, level: pd.Series) -> np.ndarray:
    """Squared error of each product, left out, at the best penalty (N,)."""
    errors = RidgeCV(alphas=PENALTIES, store_cv_results=True).fit(design, level).cv_results_
    return errors[:, errors.mean(axis=0).argmin()]


def nearest(
    known: pd.DataFrame, new: pd.DataFrame, vectors: Sequence[pd.DataFrame] = (), *, count: int = 3
) -> pd.DataFrame:
    """The known products that are most like each new one: in category first, then in price and vectors.

    Args:
        known: products sold: `product`, `category`, `regular_price`.
        new: the same columns; other categories are distinguished by their vectors and prices alone.
        vectors: texts or others, one row per product.

    Returns:
        A row for each new product and rank: `product`, `rank` (from 1), `nearest`, `distance`.

    Example:
        >>> known = pd.DataFrame({"product": ["a", "b"], "category": "tea", "regular_price": [2.0, 5.0]})
        >>> new = pd.DataFrame({"product": ["c"], "category": ["tea"], "regular_price": [4.0]})
        >>> nearest(known, new, count=1)["nearest"].tolist()
        ['b']
    """
    parts = [known, new]
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(known[["category"]])
    # Another category is farther away than any text or price within the same one.
    flags = [10.0 * np.asarray(encoder.transform(part[["category"]])) for part in parts]
    prices = [np.log(part[["regular_price"]].to_numpy(float)) / np.log(_LARGEST_RATIO) for part in parts]
    blocks = [scaled(block, pd.Index(known["product"])) for block in vectors]
    rows = [
        np.hstack([flag, price, *(block.reindex(part["product"]).fillna(0.0).to_numpy() for block in blocks)])
        for part, flag, price in zip(parts, flags, prices, strict=True)
    ]
    count = min(count, len(known))
    distance, position = NearestNeighbors(n_neighbors=count).fit(rows[0]).kneighbors(rows[1])
    return pd.DataFrame(
        {
            "product": np.repeat(new["product"].to_numpy(), count),
            "rank": np.tile(np.arange(1, count + 1), len(new)),
            "nearest": known["product"].to_numpy()[position.ravel()],
            "distance": distance.ravel(),
        }
    )
