from repricer.benchmarks.load import statuses

SAID = """
Response time histogram:
  0.025 [1]\t|
  0.054 [1599]\t|■■■■

Status code distribution:
  [200]\t6404 responses
"""


def test_the_histogram_is_not_taken_for_status_codes():
    assert statuses(SAID) == ["200"]
    assert statuses(SAID + "  [503]\t2 responses\n") == ["200", "503"]
