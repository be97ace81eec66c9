"""One small architecture or more of every family, for the tests that each must pass."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from recscale.families import AnyModelConfig

INPUTS = dict(
    embedding_dim=8, embedding_rows=None, sequence_depth=0, sequence_width=0, sequence_length=6
)
DEEP = dict(sequence_depth=2, sequence_width=32)
DLRM = dict(family="dlrm", mlp_width=16, overarch_width=24, mlp_depth=2)
DCNV2 = dict(
    family="dcnv2", cross_layers=2, cross_rank=None, mlp_width=16, mlp_depth=2, structure="stacked"
)
WUKONG = dict(family="wukong", layers=2, n_F=4, n_L=3, k=5, mlp_width=16, mlp_depth=2)
DEEPFM = dict(family="deepfm", mlp_width=16, mlp_depth=2)
AUTOINT = dict(
    family="autoint", attention_layers=2, attention_width=12, heads=3, norm=True, mlp_width=16,
    mlp_depth=2,
)  # fmt: skip
RANKMIXER = dict(family="rankmixer", token_width=16, tokens=4, layers=2, expansion=2)
ADREC = dict(family="adrec", layers=2, heads=2, mask="triangular", mlp_width=16, mlp_depth=2)

SIZES: dict[str, dict[str, Any]] = {
    "dlrm": DLRM,
    "dlrm-narrow": {**DLRM, "embedding_dim": 4, "mlp_depth": 1, "embedding_rows": 50},
    "dlrm-history": {**DLRM, **DEEP},
    "dlrm-pointwise": {**DLRM, **DEEP, "sequence_encoder": "hstu"},
    "dlrm-target": {**DLRM, **DEEP, "sequence_target": True, "multi_embedding": 2},
    "dlrm-pointwise-target": {
        **DLRM,
        **DEEP,
        "sequence_encoder": "hstu",
        "sequence_target": True,
        "embedding_rows": 50,
    },
    "dlrm-no-history": {**DLRM, "sequence_length": 0},
    "dlrm-sets": {**DLRM, **DEEP, "embedding_dim": 16, "multi_embedding": 4},
    "dcnv2": DCNV2,
    "dcnv2-low-rank": {**DCNV2, **DEEP, "cross_rank": 3},
    "dcnv2-parallel": {**DCNV2, "structure": "parallel", "mlp_depth": 1},
    "dcnv2-sets": {**DCNV2, "structure": "parallel", "multi_embedding": 2},
    "wukong": WUKONG,
    "wukong-one-layer": {**WUKONG, **DEEP, "layers": 1},
    "wukong-same-count": {**WUKONG, "n_F": 5, "n_L": 2, "layers": 3},  # 5 + 2 vectors enter it
    "wukong-sets": {**WUKONG, "multi_embedding": 2},
    "deepfm": DEEPFM,
    "autoint": AUTOINT,
    "autoint-alone": {**AUTOINT, "norm": False, "mlp_width": 0, "mlp_depth": 0},
    "autoint-same-width": {**AUTOINT, **DEEP, "attention_width": 8, "heads": 1},
    "autoint-sets": {**AUTOINT, "multi_embedding": 2},
    "rankmixer": RANKMIXER,
    "rankmixer-uneven": {**RANKMIXER, **DEEP, "token_width": 21, "tokens": 7, "layers": 1},
    "rankmixer-sets": {**RANKMIXER, "multi_embedding": 2},
    "adrec": ADREC,
    "adrec-unmasked": {**ADREC, **DEEP, "layers": 1, "mask": "none"},
    "adrec-sets": {**ADREC, "multi_embedding": 2},
    "deepfm-sets": {**DEEPFM, **DEEP, "mlp_depth": 1, "multi_embedding": 2},
}

SEQUENCE = dict(
    sequence_depth=2, sequence_width=16, heads=2, sequence_length=8, tied=True, negatives=None,
    negatives_by=None, correction=None, filter_seen=False, dropout=0.0, dropout_top=0.0,
)  # fmt: skip
SEQUENCES: dict[str, dict[str, Any]] = {
    "decoder": {**SEQUENCE, "family": "decoder", "norm": "pre"},
    "decoder-untied": {**SEQUENCE, "family": "decoder", "norm": "post", "tied": False},
    "decoder-biased": {
        **SEQUENCE,
        "family": "decoder",
        "norm": "pre",
        "relative_bias": "both",
        "residual": False,
    },
    "hstu": {**SEQUENCE, "family": "hstu"},
    "hstu-bare": {
        **SEQUENCE,
        "family": "hstu",
        "norm": "post",
        "relative_bias": "none",
        "residual": False,
    },
    "hstu-untied": {**SEQUENCE, "family": "hstu", "tied": False, "heads": 1},
    "fuxi": {**SEQUENCE, "family": "fuxi", "expansion": 1, "channels": "all"},
    "fuxi-wide": {
        **SEQUENCE,
        "family": "fuxi",
        "expansion": 3,
        "channels": "position",
        "tied": False,
    },
    "fuxi-semantic": {
        **SEQUENCE,
        "family": "fuxi",
        "expansion": 2,
        "channels": "semantic",
        "heads": 1,
    },
    "climber": {**SEQUENCE, "family": "climber", "subsequences": 2},
    "climber-three": {**SEQUENCE, "family": "climber", "subsequences": 3, "tied": False},
    "climber-one": {**SEQUENCE, "family": "climber", "subsequences": 1, "heads": 1},
}


def architecture(name: str, **changes: Any) -> Any:
    """The architecture of that name, or a neighbour of it."""
    given = {**INPUTS, **SIZES[name]} if name in SIZES else SEQUENCES[name]
    sizes = {**given, **changes}
    return TypeAdapter(AnyModelConfig).validate_python(sizes)


FAMILIES = {s["family"]: name for name, s in reversed(SIZES.items())}
"""Family -> the name of its first architecture."""
