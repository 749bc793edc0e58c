//! A few runs of the chaos example, from a seed that is printed. `MACHINE_IMAGES_CHAOS_RUNS` says
//! how many, `MACHINE_IMAGES_CHAOS_SEED` from where.

#[path = "../../examples/chaos/calls.rs"]
mod calls;
#[path = "../../examples/chaos/faults.rs"]
mod faults;
#[path = "../../examples/chaos/other_server.rs"]
mod other_server;
#[path = "../../examples/chaos/rules.rs"]
mod rules;
#[path = "../../examples/chaos/run.rs"]
mod run;
#[path = "../../examples/chaos/summary.rs"]
mod summary;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_doubled_or_leaked_whatever_goes_wrong() {
    let runs = number("MACHINE_IMAGES_CHAOS_RUNS").unwrap_or(10);
    let seed = number("MACHINE_IMAGES_CHAOS_SEED").unwrap_or_else(|| fastrand::u64(..1 << 48));
    eprintln!("{runs} runs from seed {seed}");
    let summary = run::run_all(seed, runs, 4).await.unwrap();
    eprintln!("{summary}");
    assert!(
        summary.violations.is_empty(),
        "from seed {seed}:\n{summary}"
    );
    assert_eq!(summary.runs, runs);
}
