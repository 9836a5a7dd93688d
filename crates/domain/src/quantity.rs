//! The grammar of quantities: `"500m"`, `2`, `"1Gi"`.
