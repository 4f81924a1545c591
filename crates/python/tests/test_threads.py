"""Threads, and Ctrl-C."""

import os
import signal
import threading
import time
import unittest

import conjoint
from common import PROMPT, TINY, tiny


def tokens(results):
    return [result.tokens.tolist() for result in results]


class Threads(unittest.TestCase):
    def test_two_models_run_in_two_threads(self):
        models = [conjoint.open(TINY, threads=1) for _ in range(2)]
        expected = [tokens(tiny().generate(PROMPT, gen_length=32, seed=seed, num_samples=4)) for seed in (0, 1)]
        found = [None, None]

        def run(index):
            found[index] = tokens(models[index].generate(PROMPT, gen_length=32, seed=index, num_samples=4))

        threads = [threading.Thread(target=run, args=(index,)) for index in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(found, expected)

    def test_other_threads_run_during_a_forward(self):
        turns = 0
        thread = threading.Thread(target=tiny().generate, args=(PROMPT,), kwargs={"gen_length": 40, "num_samples": 16})
        thread.start()
        while thread.is_alive():
            turns += 1
            time.sleep(0.0005)
        self.assertGreater(turns, 20)

    def test_threads_share_an_iterator(self):
        steps = tiny().steps(PROMPT, gen_length=40)
        seen = []

        def run():
            for step in steps:
                seen.append(step.number)
                self.assertIn(type(steps.result), (type(None), conjoint.Result))

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        # No step was lost or doubled.
        self.assertEqual(sorted(seen), list(range(40)))
        self.assertEqual(steps.result.steps, 40)


@unittest.skipIf(os.name == "nt", "Windows has no SIGINT for one process")
class Interrupts(unittest.TestCase):
    def interrupted(self, work):
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        began = time.monotonic()
        with self.assertRaises(KeyboardInterrupt):
            work()
            time.sleep(60)
        timer.join()
        return time.monotonic() - began

    def test_ctrl_c_ends_a_long_call_between_two_steps(self):
        def minutes_of_work():
            tiny().generate(PROMPT, gen_length=40, num_samples=20_000)

        self.assertLess(self.interrupted(minutes_of_work), 50)
        [result] = tiny().generate(PROMPT, gen_length=8)
        self.assertEqual(result.steps, 8)

    def test_an_iterator_continues_after_ctrl_c(self):
        [expected] = tiny().generate(PROMPT, gen_length=40, seed=1)
        steps = tiny().steps(PROMPT, gen_length=40, seed=1)
        seen = []

        def work():
            for step in steps:
                seen.append(step.number)
                time.sleep(0.1)

        self.interrupted(work)
        seen.extend(step.number for step in steps)
        self.assertEqual(seen, list(range(40)))
        self.assertEqual(steps.result.tokens.tolist(), expected.tokens.tolist())


if __name__ == "__main__":
    unittest.main()
