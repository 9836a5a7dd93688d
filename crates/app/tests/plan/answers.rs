//! Documents and what they are answered.

use expect_test::expect;

use super::{answer, check};

#[test]
fn priority_comes_first_and_then_the_position() {
    check(
        r#"{
            "workers": [{"id": "w", "cpu": 3, "memory": "8Gi"}],
            "requests": [
                {"id": "low", "priority": -1},
                {"id": "first"},
                {"id": "second"},
                {"id": "third"},
                {"id": "high", "priority": 100}
            ]
        }"#,
        &expect![[r#"
            {
              "version": 1,
              "placements": [
                {"id":"first","worker":"w","gpu_devices":[]},
                {"id":"second","worker":"w","gpu_devices":[]},
                {"id":"high","worker":"w","gpu_devices":[]}
              ],
              "unplaced": [
                {"id":"low","reason":"no_room","detail":{"cpu":1},"can_never_fit":false,"text":"no worker has room: 1 of 1 worker lacks cpu"},
                {"id":"third","reason":"no_room","detail":{"cpu":1},"can_never_fit":false,"text":"no worker has room: 1 of 1 worker lacks cpu"}
              ],
              "new_workers": []
            }
        "#]],
    );
}

#[test]
fn gpus_are_devices_and_shares_gather_on_the_fullest() {
    check(
        r#"{
            "version": 1,
            "policy": {"strategy": "best-fit", "cpu_on_gpu_workers": "never"},
            "workers": [
                {"id": "t4", "cpu": 8, "memory": "32Gi", "gpu_type": "T4", "gpu_count": 3, "free": {"gpu_milli": [1000, 400, 700]}},
                {"id": "a100", "cpu": "64", "memory": "512Gi", "gpu_type": "A100", "gpu_count": 2},
                {"id": "plain", "cpu_milli": 4000, "memory_mib": 8192}
            ],
            "requests": [
                {"id": "share", "gpu": {"types": ["t4"], "milli": 400}},
                {"id": "two-shares", "gpu": {"types": ["T4"], "count": 2, "milli": 500}},
                {"id": "whole", "gpu": {"types": ["T4", "A100"]}},
                {"id": "any", "gpu": {"types": "any", "count": 1}},
                {"id": "too-many", "gpu": {"types": ["A100"], "count": 3}},
                {"id": "no-room", "gpu": {"types": ["T4"]}},
                {"id": "unknown-kind", "gpu": {"types": ["H100"]}},
                {"id": "no-gpu", "cpu": 0.5}
            ]
        }"#,
        &expect![[r#"
            {
              "version": 1,
              "placements": [
                {"id":"share","worker":"t4","gpu_devices":[1]},
                {"id":"two-shares","worker":"t4","gpu_devices":[0,2]},
                {"id":"whole","worker":"a100","gpu_devices":[0]},
                {"id":"any","worker":"a100","gpu_devices":[1]},
                {"id":"no-gpu","worker":"plain","gpu_devices":[]}
              ],
              "unplaced": [
                {"id":"too-many","reason":"can_never_fit","detail":{"gpu_room":1,"gpu_type":2},"can_never_fit":true,"text":"can never fit: asks 3 GPUs, the largest worker that may serve it, a100, has 2"},
                {"id":"no-room","reason":"no_room","detail":{"gpu_room":1,"gpu_type":2},"can_never_fit":false,"text":"no worker has room: 2 of 3 workers have no T4 GPU, 1 lacks GPU room"},
                {"id":"unknown-kind","reason":"can_never_fit","detail":{"gpu_type":3},"can_never_fit":true,"text":"can never fit: even a100, which comes closest, has no H100 GPU"}
              ],
              "new_workers": []
            }
        "#]],
    );
}

#[test]
fn failover_stands_in_for_a_kind_that_cannot_be_had() {
    check(
        r#"{
            "policy": {"failover": {"A10G": ["pool-4090", "pool-l40s"]}},
            "workers": [
                {"id": "a10g", "pool": "a", "cpu": 8, "memory": "32Gi", "gpu_type": "A10G", "gpu_count": 1},
                {"id": "l40s", "pool": "pool-l40s", "cpu": 8, "memory": "32Gi", "gpu_type": "L40S", "gpu_count": 1},
                {"id": "4090", "pool": "pool-4090", "cpu": 8, "memory": "32Gi", "gpu_type": "RTX4090", "gpu_count": 1, "requires_pool_selector": true},
                {"id": "other", "pool": "other", "cpu": 8, "memory": "32Gi", "gpu_type": "H100", "gpu_count": 8}
            ],
            "requests": [
                {"id": "wished", "gpu": {"types": ["a10g"]}},
                {"id": "first-choice", "gpu": {"types": ["a10g"]}},
                {"id": "second-choice", "gpu": {"types": ["a10g"]}},
                {"id": "none-left", "gpu": {"types": ["a10g"]}},
                {"id": "named-pools-stay", "gpu": {"types": ["a10g"]}, "pool": "a"}
            ]
        }"#,
        &expect![[r#"
            {
              "version": 1,
              "placements": [
                {"id":"wished","worker":"a10g","gpu_devices":[0]},
                {"id":"first-choice","worker":"4090","gpu_devices":[0]},
                {"id":"second-choice","worker":"l40s","gpu_devices":[0]}
              ],
              "unplaced": [
                {"id":"none-left","reason":"no_room","detail":{"gpu_room":3,"gpu_type":1},"can_never_fit":false,"text":"no worker has room: 1 of 4 workers has no a10g GPU, 3 lack GPU room"},
                {"id":"named-pools-stay","reason":"no_room","detail":{"gpu_room":1,"pool":3},"can_never_fit":false,"text":"no worker has room: 3 of 4 workers are not in pool a, 1 lacks GPU room"}
              ],
              "new_workers": []
            }
        "#]],
    );
}

#[test]
fn quotas_limit_what_a_workspace_uses() {
    check(
        r#"{
            "quotas": {
                "team": {"cpu": 24, "memory": "1Ti", "gpus": 0, "containers": "unlimited", "used": {"cpu": "500m", "containers": 1}},
                "wide": {"cpu": "unlimited", "memory": "unlimited"},
                "spent": {"cpu": 8, "used": {"cpu": 24}}
            },
            "workers": [{"id": "w", "cpu": 20000, "memory": "64Ti", "gpu_type": "T4", "gpu_count": 8}, {"id": "cpu", "cpu": 20000, "memory": "64Ti"}],
            "requests": [
                {"id": "r1", "workspace": "team", "cpu": 12},
                {"id": "r2", "workspace": "team", "cpu": 12},
                {"id": "behind", "workspace": "team", "cpu": 1},
                {"id": "never", "workspace": "team", "cpu": 25},
                {"id": "no-gpus-at-all", "workspace": "team", "gpu": {"count": 1}},
                {"id": "wide", "workspace": "wide", "cpu": 11000, "memory": "50Ti"},
                {"id": "lowered", "workspace": "spent"},
                {"id": "default-limit", "cpu": 10001},
                {"id": "below-the-default", "cpu": "8000"}
            ]
        }"#,
        &expect![[r#"
            {
              "version": 1,
              "placements": [
                {"id":"r1","worker":"cpu","gpu_devices":[]},
                {"id":"wide","worker":"cpu","gpu_devices":[]},
                {"id":"below-the-default","worker":"cpu","gpu_devices":[]}
              ],
              "unplaced": [
                {"id":"r2","reason":"quota","detail":{"free":{"cpu_milli":11500}},"can_never_fit":false,"text":"quota of workspace team: needs 12 cpu, 11.5 free (12.5 of 24 used)"},
                {"id":"behind","reason":"behind","detail":{},"can_never_fit":false,"text":"1 request is ahead"},
                {"id":"never","reason":"quota","detail":{"free":{"cpu_milli":11500}},"can_never_fit":true,"text":"can never fit the quota of workspace team: needs 25 cpu, the limit is 24"},
                {"id":"no-gpus-at-all","reason":"quota","detail":{"free":{"gpu_milli":0}},"can_never_fit":true,"text":"can never fit the quota of workspace team: needs 1 gpus, the limit is 0"},
                {"id":"lowered","reason":"quota","detail":{"free":{"cpu_milli":0}},"can_never_fit":false,"text":"quota of workspace spent: needs 1 cpu, 0 free (24 of 8 used)"},
                {"id":"default-limit","reason":"quota","detail":{"free":{"cpu_milli":10000000}},"can_never_fit":true,"text":"can never fit the quota of workspace default: needs 10001 cpu, the limit is 10000"}
              ],
              "new_workers": []
            }
        "#]],
    );
}

#[test]
fn without_quotas_nothing_is_limited() {
    check(
        r#"{
            "workers": [{"id": "w", "cpu": 20000, "memory": "64Ti"}],
            "requests": [{"id": "a", "cpu": 10001, "memory": "50Ti"}]
        }"#,
        &expect![[r#"
            {
              "version": 1,
              "placements": [
                {"id":"a","worker":"w","gpu_devices":[]}
              ],
              "unplaced": [],
              "new_workers": []
            }
        "#]],
    );
}

#[test]
fn pools_grow_by_the_fewest_workers_and_count_those_that_boot() {
    check(
        r#"{
            "pools": [
                {"name": "small", "worker": {"cpu": 4, "memory": "16Gi"}, "max_workers": 3},
                {"name": "gpu", "worker": {"pool": "gpu", "cpu": 16, "memory": "64Gi", "gpu_type": "A100", "gpu_count": 2}, "max_workers": 10}
            ],
            "workers": [{"id": "booting", "pool": "small", "status": "pending", "cpu": 4, "memory": "16Gi"}],
            "requests": [
                {"id": "two-1", "cpu": 2},
                {"id": "two-2", "cpu": 2},
                {"id": "two-3", "cpu": 2},
                {"id": "two-4", "cpu": 2},
                {"id": "four-1", "cpu": 4},
                {"id": "four-2", "cpu": 4},
                {"id": "too-large", "cpu": 17},
                {"id": "g1", "gpu": {"types": ["A100"]}},
                {"id": "g2", "gpu": {"types": ["A100"]}},
                {"id": "g3", "gpu": {"types": ["A100"], "milli": 200}}
            ]
        }"#,
        &expect![[r#"
            {
              "version": 1,
              "placements": [],
              "unplaced": [
                {"id":"two-1","reason":"no_room","detail":{"status":1},"can_never_fit":false,"text":"no worker takes it: 1 of 1 worker is not available"},
                {"id":"two-2","reason":"no_room","detail":{"status":1},"can_never_fit":false,"text":"no worker takes it: 1 of 1 worker is not available"},
                {"id":"two-3","reason":"no_room","detail":{"status":1},"can_never_fit":false,"text":"no worker takes it: 1 of 1 worker is not available"},
                {"id":"two-4","reason":"no_room","detail":{"status":1},"can_never_fit":false,"text":"no worker takes it: 1 of 1 worker is not available"},
                {"id":"four-1","reason":"no_room","detail":{"status":1},"can_never_fit":false,"text":"no worker takes it: 1 of 1 worker is not available"},
                {"id":"four-2","reason":"no_room","detail":{"status":1},"can_never_fit":false,"text":"no worker takes it: 1 of 1 worker is not available"},
                {"id":"too-large","reason":"can_never_fit","detail":{"status":1},"can_never_fit":true,"text":"can never fit: asks 17 cpu, the largest worker that may serve it, booting, has 4"},
                {"id":"g1","reason":"no_room","detail":{"gpu_type":1},"can_never_fit":false,"text":"no worker takes it: 1 of 1 worker has no A100 GPU"},
                {"id":"g2","reason":"no_room","detail":{"gpu_type":1},"can_never_fit":false,"text":"no worker takes it: 1 of 1 worker has no A100 GPU"},
                {"id":"g3","reason":"no_room","detail":{"gpu_type":1},"can_never_fit":false,"text":"no worker takes it: 1 of 1 worker has no A100 GPU"}
              ],
              "new_workers": [
                {"pool":"gpu","count":2,"for":["g1","g2","g3"]},
                {"pool":"small","count":2,"for":["two-1","two-2","four-2"]}
              ]
            }
        "#]],
    );
}

#[test]
fn every_rule_is_a_reason() {
    check(
        r#"{
            "policy": {"memory_overhead_percent": 10},
            "workers": [
                {"id": "busy", "cpu": 4, "memory": "4Gi", "free": {"cpu_milli": 100}},
                {"id": "cordoned", "cpu": 16, "memory": "16Gi", "status": "cordoned", "labels": {"zone": "a"}},
                {"id": "private", "cpu": 16, "memory": "16Gi", "workspace": "team"},
                {"id": "selected", "pool": "special", "requires_pool_selector": true, "cpu": 16, "memory": "16Gi"},
                {"id": "spot", "cpu": 16, "memory": "16Gi", "preemptible": true},
                {"id": "docker", "cpu": 16, "memory": "16Gi", "runtime": ["docker"], "machine": "m1"},
                {"id": "tight", "cpu": 16, "memory": "1Gi"}
            ],
            "requests": [
                {"id": "all", "runtime": "process", "memory": "1Gi", "cpu": 16},
                {"id": "pinned", "machine": "m1", "runtime": "process"},
                {"id": "in-pool", "pool": "special", "cpu": 17},
                {"id": "labelled", "labels": {"zone": "a"}},
                {"id": "overhead", "pool": "default", "memory": "15Gi", "labels": {"zone": "a"}}
            ]
        }"#,
        &expect![[r#"
            {
              "version": 1,
              "placements": [],
              "unplaced": [
                {"id":"all","reason":"no_room","detail":{"cpu":1,"memory":1,"pool":1,"preemptible":1,"runtime":1,"status":1,"workspace":1},"can_never_fit":false,"text":"no worker has room: 1 of 7 workers serves another workspace, 1 serves only requests that name its pool, 1 does not run process, 1 may be taken away at any time, 1 is not available, 1 lacks cpu, 1 lacks memory"},
                {"id":"pinned","reason":"can_never_fit","detail":{"machine":6,"runtime":1},"can_never_fit":true,"text":"can never fit: even docker, which comes closest, does not run process"},
                {"id":"in-pool","reason":"can_never_fit","detail":{"cpu":1,"pool":5,"workspace":1},"can_never_fit":true,"text":"can never fit: asks 17 cpu, the largest worker that may serve it, selected, has 16"},
                {"id":"labelled","reason":"no_room","detail":{"labels":3,"pool":1,"preemptible":1,"status":1,"workspace":1},"can_never_fit":false,"text":"no worker takes it: 1 of 7 workers serves another workspace, 1 serves only requests that name its pool, 1 may be taken away at any time, 3 lack label zone=a, 1 is not available"},
                {"id":"overhead","reason":"can_never_fit","detail":{"labels":3,"pool":1,"preemptible":1,"status":1,"workspace":1},"can_never_fit":true,"text":"can never fit: asks 15Gi of memory with its overhead on top, the largest worker that may serve it, cordoned, has 16Gi"}
              ],
              "new_workers": []
            }
        "#]],
    );
}

#[test]
fn an_empty_fleet_says_so_and_an_empty_document_is_fine() {
    check(
        r#"{"pools": [{"name": "p", "worker": {"cpu": 4, "memory": "8Gi"}, "max_workers": 1}], "requests": [{"id": "a"}]}"#,
        &expect![[r#"
            {
              "version": 1,
              "placements": [],
              "unplaced": [
                {"id":"a","reason":"no_workers","detail":{},"can_never_fit":false,"text":"no workers registered"}
              ],
              "new_workers": [
                {"pool":"p","count":1,"for":["a"]}
              ]
            }
        "#]],
    );
    check(
        "{}",
        &expect![[r#"
        {
          "version": 1,
          "placements": [],
          "unplaced": [],
          "new_workers": []
        }
    "#]],
    );
}

#[test]
fn strategies_and_affinity_choose_among_equals() {
    let document = |policy: &str| {
        format!(
            r#"{{
                "policy": {policy},
                "workers": [
                    {{"id": "a", "cpu": 8, "memory": "8Gi"}}, {{"id": "b", "cpu": 4, "memory": "4Gi"}},
                    {{"id": "c", "cpu": 8, "memory": "8Gi", "priority": -1}}
                ],
                "requests": [{{"id": "r1"}}, {{"id": "r2"}}, {{"id": "k1", "affinity": "key"}}, {{"id": "k2", "affinity": "key"}}]
            }}"#
        )
    };
    check(
        &document("{}"),
        &expect![[r#"
        {
          "version": 1,
          "placements": [
            {"id":"r1","worker":"b","gpu_devices":[]},
            {"id":"r2","worker":"b","gpu_devices":[]},
            {"id":"k1","worker":"a","gpu_devices":[]},
            {"id":"k2","worker":"a","gpu_devices":[]}
          ],
          "unplaced": [],
          "new_workers": []
        }
    "#]],
    );
    check(
        &document(r#"{"strategy": "spread"}"#),
        &expect![[r#"
        {
          "version": 1,
          "placements": [
            {"id":"r1","worker":"a","gpu_devices":[]},
            {"id":"r2","worker":"a","gpu_devices":[]},
            {"id":"k1","worker":"a","gpu_devices":[]},
            {"id":"k2","worker":"a","gpu_devices":[]}
          ],
          "unplaced": [],
          "new_workers": []
        }
    "#]],
    );
}

#[test]
fn amounts_round_against_the_asker() {
    check(
        r#"{
            "workers": [{"id": "w", "cpu": 1.9999, "memory": "1.2Gi"}],
            "requests": [
                {"id": "tenths", "cpu": "0.9995", "memory": "1G"},
                {"id": "a-milli-too-much", "cpu_milli": "1000", "memory_mib": 1}
            ]
        }"#,
        &expect![[r#"
            {
              "version": 1,
              "placements": [
                {"id":"tenths","worker":"w","gpu_devices":[]}
              ],
              "unplaced": [
                {"id":"a-milli-too-much","reason":"no_room","detail":{"cpu":1},"can_never_fit":false,"text":"no worker has room: 1 of 1 worker lacks cpu"}
              ],
              "new_workers": []
            }
        "#]],
    );
}

#[test]
fn what_only_a_worker_reads_is_welcome() {
    check(
        r#"{
            "workers": [{"id": "w", "cpu": 2, "memory": "2Gi"}],
            "requests": [
                {"id": "a", "command": ["sh", "-c", "true"], "env": {"A": "b"}, "cwd": "/tmp", "timeout": "10m", "kill_after": "5s", "if_silent": "keep"},
                {"id": "b", "timeout": "10m"}
            ]
        }"#,
        &expect![[r#"
            {
              "version": 1,
              "placements": [
                {"id":"a","worker":"w","gpu_devices":[]},
                {"id":"b","worker":"w","gpu_devices":[]}
              ],
              "unplaced": [],
              "new_workers": []
            }
        "#]],
    );
}

#[test]
fn people_read_tables() {
    let document = r#"{
        "pools": [{"name": "p", "worker": {"cpu": 4, "memory": "8Gi"}, "max_workers": 9}],
        "workers": [{"id": "w", "cpu": 2, "memory": "8Gi"}, {"id": "g", "cpu": 2, "memory": "8Gi", "gpu_type": "T4", "gpu_count": 4}],
        "requests": [
            {"id": "a"}, {"id": "b", "gpu": {"count": 3}}, {"id": "waits", "cpu": 4}, {"id": "never", "cpu": 64},
            {"id": "hostile", "labels": {"\u001b[2Jx": "\n"}}
        ]
    }"#;
    expect![[r#"
        REQUEST  WORKER  GPUS
        a        w       -
        b        g       0,1,2

        REQUEST  REASON         WAITS BECAUSE
        waits    no_room        no worker has room: 1 of 2 workers keeps its GPUs for requests that ask for them, 1 lacks cpu
        never    can_never_fit  can never fit: asks 64 cpu, the largest worker that may serve it, one of pool p, has 4
        hostile  can_never_fit  can never fit: even w, which comes closest, lacks label \u{1b}[2Jx=\n

        POOL  NEW WORKERS  FOR
        p     1            waits

        2 placed, 3 wait (2 can never fit); 1 new worker would help
    "#]].assert_eq(&answer(document, "text"));
    expect![[r#"
        0 placed, 0 wait
    "#]]
    .assert_eq(&answer("{}", "text"));

    let many: Vec<String> = (0..30).map(|n| format!(r#"{{"id": "r{n}", "cpu": 4}}"#)).collect();
    let pools = r#"[{"name": "p", "worker": {"cpu": 8, "memory": "8Gi"}, "max_workers": 90}]"#;
    let text = answer(&format!(r#"{{"pools": {pools}, "requests": [{}]}}"#, many.join(",")), "text");
    let tail: Vec<&str> = text.lines().skip_while(|line| !line.starts_with("POOL")).collect();
    expect![[r#"
        POOL  NEW WORKERS  FOR
        p     15           r0 r1 r2 r3 r4 r5 r6 r7 r8 r9 and 20 more

        0 placed, 30 wait; 15 new workers would help"#]]
    .assert_eq(&tail.join("\n"));
}
