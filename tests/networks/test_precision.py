"""`auto` precision: by the processor, less what the environment excludes."""

import pytest

from common.cli import UserError
from common.networks import precision
from common.networks.precision import choose_policy

AMX = ["avx2", "avx512_bf16", "amx_bf16"]
BF16 = ["avx2", "avx512_bf16"]
AVX2 = ["avx2"]


@pytest.mark.parametrize(
    ("flags", "cap", "policy", "reason"),
    [
        (AMX, "", "mixed_bfloat16", "AMX"),
        (BF16, "", "mixed_bfloat16", "AVX512-BF16"),
        (AVX2, "", "float32", "neither AMX nor AVX512-BF16"),
        ([], "", "float32", "neither AMX nor AVX512-BF16"),  # no /proc/cpuinfo
        (AMX, "AVX2", "float32", "ONEDNN_MAX_CPU_ISA=AVX2 excludes the processor's AMX"),
        (BF16, "avx2", "float32", "ONEDNN_MAX_CPU_ISA=AVX2 excludes"),
        (BF16, "AVX512_CORE_VNNI", "float32", "excludes the processor's AVX512-BF16"),
        (AMX, "AVX512_CORE_BF16", "mixed_bfloat16", "AVX512-BF16"),
        (AMX, "AVX512_CORE_AMX", "mixed_bfloat16", "AMX"),
        (BF16, "AVX512_CORE_AMX", "mixed_bfloat16", "AVX512-BF16"),
        (BF16, "DEFAULT", "mixed_bfloat16", "AVX512-BF16"),
        (AVX2, "AVX2", "float32", "neither AMX nor AVX512-BF16"),
    ],
)
def test_the_processor_and_its_cap(flags, cap, policy, reason):
    chosen, why = precision._of_processor(flags, cap)
    assert chosen == policy and reason in why


def test_auto_obeys_the_environment(monkeypatch):
    monkeypatch.setenv("PRECISION", "mixed_bfloat16")
    policy, why = choose_policy("auto")
    assert policy == "mixed_bfloat16" and "PRECISION" in why
    assert choose_policy("float32") == ("float32", "as asked")  # an argument counts for more
    for nothing in ("", "auto"):
        monkeypatch.setenv("PRECISION", nothing)
        assert choose_policy("auto")[0] in ("float32", "mixed_bfloat16")
    monkeypatch.setenv("PRECISION", "half")
    with pytest.raises(UserError, match="one of auto, float32, mixed_bfloat16. Received: half"):
        choose_policy("auto")


def test_a_cap_holds_on_whatever_machine_this_is(monkeypatch):
    """Whatever the processor has; a GPU is hidden from the tests."""
    monkeypatch.delenv("PRECISION", raising=False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert choose_policy("auto")[0] == "float32"
