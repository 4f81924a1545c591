"""`Model.steps`: steps, rows and canvases."""

import unittest

import numpy as np
from common import PROMPT, tiny

STRATEGIES = [
    {},
    {"strategy": "marginal+per-step:4", "temperature": 0.8, "top_p": 0.9},
    {"strategy": "joint:window=3+per-step:4"},
    {"strategy": "balanced", "stop_at_eos": True},
    {"strategy": "klass"},
    {"strategy": "marginal+per-step:4/wino"},
    {"strategy": "joint+per-step:4", "revise": "edit"},
    {"strategy": "marginal+linear:8", "revise": "remdm", "block_length": 16},
    {"strategy": "verified:k=3"},
    {"strategy": "exact@dual", "block_length": 8},
]


def run(**settings):
    steps = tiny().steps(PROMPT, gen_length=32, **settings)
    return list(steps), steps.result


class Equality(unittest.TestCase):
    def test_steps_give_the_tokens_of_generate(self):
        for settings in STRATEGIES:
            with self.subTest(**settings):
                [expected] = tiny().generate(PROMPT, gen_length=32, seed=3, **settings)
                steps, result = run(seed=3, **settings)
                self.assertEqual(result.tokens.tolist(), expected.tokens.tolist())
                for name in ("text", "completion", "finish_reason", "denoiser_calls", "sampler_calls", "steps", "end"):
                    self.assertEqual(getattr(result, name), getattr(expected, name), name)
                self.assertEqual(len(steps), expected.steps)
                self.assertEqual([step.number for step in steps], list(range(len(steps))))
                self.assertEqual(sum(step.denoiser_calls for step in steps), expected.denoiser_calls)
                self.assertEqual(sum(step.sampler_calls for step in steps), expected.sampler_calls)

    def test_a_stream_is_a_sample(self):
        samples = tiny().generate(PROMPT, gen_length=32, num_samples=3)
        for sample in samples:
            self.assertEqual(run(stream=sample.stream)[1].tokens.tolist(), sample.tokens.tolist())

    def test_the_result_comes_after_the_last_step(self):
        steps = tiny().steps(PROMPT, gen_length=4)
        self.assertIs(iter(steps), steps)
        for _ in range(4):
            next(steps)
            self.assertIsNone(steps.result)
        with self.assertRaises(StopIteration):
            next(steps)
        self.assertEqual(steps.result.steps, 4)
        with self.assertRaises(StopIteration):
            next(steps)


class Canvas(unittest.TestCase):
    def test_every_change_is_reported(self):
        given = tiny().encode(PROMPT).tolist()
        for settings in STRATEGIES:
            with self.subTest(**settings):
                steps, result = run(seed=5, **settings)
                canvas = np.array(given + [tiny().mask_id] * 32)
                for step in steps:
                    canvas[step.remasked] = tiny().mask_id
                    canvas[step.positions] = step.tokens
                    filled = (canvas == tiny().mask_id) & (step.canvas == tiny().pad_id)
                    if step is steps[-1]:
                        # Padding after the end is not drawn.
                        self.assertTrue(np.all(np.flatnonzero(filled) >= result.end))
                        canvas[filled] = tiny().pad_id
                    self.assertEqual(canvas.tolist(), step.canvas.tolist())
                self.assertEqual(canvas.tolist(), result.tokens.tolist())

    def test_a_reviser_masks_positions_again(self):
        steps, _ = run(strategy="marginal+per-step:4/wino", seed=1)
        remasked = [step for step in steps if len(step.remasked)]
        self.assertTrue(remasked)
        for step in remasked:
            kept = np.setdiff1d(step.remasked, step.positions)
            self.assertTrue(np.all(step.canvas[kept] == tiny().mask_id))


class Rows(unittest.TestCase):
    def test_rows_are_the_distributions_of_the_masked_positions(self):
        before = np.array(tiny().encode(PROMPT).tolist() + [tiny().mask_id] * 32)
        for step in run(strategy="joint:window=3+per-step:4")[0]:
            self.assertEqual([rows.round for rows in step.rows], [0, 1, 2, 3])
            self.assertEqual(step.rows[0].positions.tolist(), np.flatnonzero(before == tiny().mask_id).tolist())
            for rows in step.rows:
                self.assertEqual(rows.log_probs.shape, (len(rows.positions), tiny().vocab_size))
                self.assertEqual((rows.log_probs.dtype, rows.positions.dtype), (np.float32, np.int64))
                sums = np.exp(rows.log_probs.astype(np.float64)).sum(axis=1)
                np.testing.assert_allclose(sums, 1, atol=1e-5)
                self.assertTrue(np.all(rows.log_probs[:, tiny().mask_id] == -np.inf))
            before = step.canvas

    def test_a_token_has_its_probability_in_its_row(self):
        for settings in ({}, {"strategy": "joint:window=3+per-step:4"}, {"strategy": "marginal+per-step:4"}):
            for step in run(seed=9, **settings)[0]:
                rows = {rows.round: rows for rows in step.rows}
                for position, token, probability, drawn_after in zip(
                    step.positions, step.tokens, step.probabilities, step.rounds
                ):
                    of = rows[drawn_after]
                    row = np.exp(of.log_probs[of.positions.tolist().index(position)].astype(np.float64))
                    # Ids from 53 on have no token, and are banned.
                    self.assertAlmostEqual(row[token] / row[:53].sum(), probability, places=5)

    def test_temperature_0_takes_the_largest(self):
        for step in run(temperature=0)[0]:
            [rows], [position], [token] = step.rows, step.positions, step.tokens
            row = rows.log_probs[rows.positions.tolist().index(position)]
            self.assertEqual(int(np.argmax(row[:53])), token)

    def test_the_lowest_entropy_comes_first(self):
        for step in run()[0]:
            [rows] = step.rows
            p = np.exp(rows.log_probs[:, :53].astype(np.float64))
            p /= p.sum(axis=1, keepdims=True)
            entropies = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=1)
            chosen = entropies[rows.positions.tolist().index(step.positions[0])]
            self.assertLess(chosen, entropies.min() + 1e-4)

    def test_rows_can_be_left_out(self):
        with_rows, without = run(seed=2), run(seed=2, rows=False)
        self.assertEqual(with_rows[1].tokens.tolist(), without[1].tokens.tolist())
        self.assertTrue(all(step.rows == [] for step in without[0]))


if __name__ == "__main__":
    unittest.main()
