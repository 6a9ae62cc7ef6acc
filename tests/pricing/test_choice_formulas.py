import numpy as np
import pytest
import torch
from repricer.pricing import choice_shares, logit_utility, matching_utility, own_elasticity
from repricer.pricing.choice_formulas import nested_shares

CATEGORY = np.array([0, 1, 0, 1, 2])


def _market(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return rng.normal(0, 1, (4, 2, 5)), rng.uniform(1, 3, (2, 3)), rng.uniform(1, 5, 5)


class TestShares:
    def test_they_are_the_logits_within_each_category(self):
        utility, outside, _ = _market(np.random.default_rng(0))
        shares = choice_shares(utility, CATEGORY, outside)
        for c in range(3):
            weight = np.exp(utility[..., c == CATEGORY])
            total = outside[:, c] + weight.sum(axis=-1)
            np.testing.assert_allclose(shares.product[..., c == CATEGORY], weight / total[..., None], rtol=1e-13)
            np.testing.assert_allclose(shares.outside[..., c], outside[:, c] / total, rtol=1e-13)

    def test_large_utilities_do_not_overflow(self):
        shares = choice_shares(np.array([5000.0, 5000.0 + np.log(3), -5000.0]))
        np.testing.assert_allclose(shares.product, [0.25, 0.75, 0.0], rtol=1e-9)
        assert shares.outside.tolist() == [0.0]

    def test_a_product_that_cannot_be_bought_has_none(self):
        shares = choice_shares(np.array([-np.inf, 0.0]))
        assert shares.product.tolist() == [0.0, 0.5]
        assert choice_shares(np.array([-np.inf])).outside.tolist() == [1.0]

    def test_a_category_without_products_leaves_all(self):
        shares = choice_shares(np.array([0.0]), np.array([1]), np.ones(3))
        assert shares.outside.tolist() == [1.0, 0.5, 1.0]


class TestNests:
    NEST, HOME = np.array([0, 1, 2, 3, 0]), np.array([0, 1, 0, 1])
    NESTING = np.array([0.6, 0.1, 0.3, 0.8])

    def test_shares_and_leaving_sum_to_one(self):
        utility = np.random.default_rng(0).normal(0, 2, (4, 5))
        shares = nested_shares(utility, self.NESTING, self.NEST, self.HOME)
        bought = shares.product @ np.eye(2)[self.HOME[self.NEST]]
        np.testing.assert_allclose(bought + shares.outside, 1.0, rtol=1e-13)

    @pytest.mark.parametrize("shift", [-3000.0, 3000.0])
    def test_no_utility_is_too_large(self, shift):
        shares = nested_shares(np.array([shift, 0.0, shift, -np.inf, shift]), self.NESTING, self.NEST, self.HOME)
        two = 2 ** (1 - self.NESTING[0])
        expected = np.array([two / 2, 1.0, two / 2]) / (two + 1) if shift > 0 else np.zeros(3)
        np.testing.assert_allclose(shares.product[[0, 2, 4]], expected, rtol=1e-9)
        np.testing.assert_allclose(shares.product[[1, 3]], [0.5, 0.0])
        np.testing.assert_allclose(shares.outside, [float(shift < 0), 0.5])

    def test_tensors_give_the_same_numbers_and_their_gradients(self):
        utility = torch.tensor(np.random.default_rng(0).normal(0, 2, (2, 5)), requires_grad=True)
        nests = (torch.tensor(self.NESTING), self.NEST, self.HOME)
        found = nested_shares(utility, *nests).product.detach()
        np.testing.assert_allclose(found, nested_shares(utility.detach().numpy(), self.NESTING, *nests[1:]).product)
        assert torch.autograd.gradcheck(lambda u: tuple(nested_shares(u, *nests)), utility)


class TestInversion:
    def test_the_utility_of_a_share_gives_the_share(self):
        share = np.array([0.1, 0.2, 0.3])
        np.testing.assert_allclose(choice_shares(logit_utility(share, 0.4)).product, share, rtol=1e-13)

    def test_matching_meets_the_shares_of_segments_together(self):
        rng = np.random.default_rng(1)
        utility, segment_share = rng.normal(0, 1, (6, 2, 5)), rng.dirichlet([1, 1], 3)
        target = rng.uniform(0.05, 0.4, (6, 5))
        added = matching_utility(target, utility, segment_share, CATEGORY)
        shares = choice_shares(utility + added[:, None], CATEGORY).product
        np.testing.assert_allclose(np.einsum("nk,tkn->tn", segment_share[CATEGORY], shares), target, rtol=1e-8)

    def test_shares_that_leave_nothing_outside_cannot_be_met(self, monkeypatch):
        monkeypatch.setattr("repricer.pricing.choice_formulas._SHARE_ROUNDS", 50)
        with pytest.raises(RuntimeError, match="not met in 50 rounds"):
            matching_utility(np.array([0.6, 0.6]), np.zeros((1, 2)), np.ones((1, 1)))


@pytest.mark.parametrize("category", [None, CATEGORY])
def test_own_elasticities_are_derivatives_of_the_shares(category):
    utility, _, price = _market(np.random.default_rng(2))
    quality, slope = utility[0, 0], np.array([1.0, 0.5, 2.0, 1.5, 0.7])

    def shares(rows: np.ndarray) -> np.ndarray:
        return np.stack([choice_shares(quality - slope * row, category).product for row in rows])[:, None]

    exact = -slope * price * (1 - shares(price[None])[0, 0])
    np.testing.assert_allclose(own_elasticity(shares, price)[0], exact, rtol=1e-6)


def test_tensors_give_the_same_numbers_and_their_gradients():
    utility, outside, _ = _market(np.random.default_rng(3))
    tensors = [torch.tensor(values, requires_grad=True) for values in (utility, outside)]
    shares = choice_shares(tensors[0], CATEGORY, tensors[1])
    plain = choice_shares(utility, CATEGORY, outside)
    np.testing.assert_allclose(shares.product.detach(), plain.product, rtol=1e-13)
    assert torch.autograd.gradcheck(lambda u, o: tuple(choice_shares(u, CATEGORY, o)), tensors)
