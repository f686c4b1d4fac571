//! Program tests: single packets through the real bytecode, run by the kernel
//! (`BPF_PROG_TEST_RUN`). They need root.
//!
//! | module | noun |
//! |---|---|
//! | [`node`] | a network namespace to ask for routes |
//! | [`lab`] | the bytecode over maps of its own |
//! | [`life`] | a packet over two nodes, and back |
//! | [`cidr`] | address ranges as fixtures write them |
//! | [`tables`] | services as fixtures write them, and their way into the maps |
//! | [`scenario`] | fixtures and running them |
//! | [`flood`] | many flows at once |
//! | [`fuzz`] | any bytes |
//! | [`budget`] | what the verifier says of each program |
//!
//! The kernel has no `BPF_PROG_TEST_RUN` for programs at sockets; the netns tests cover those.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod budget;
mod cidr;
mod flood;
mod fuzz;
mod lab;
mod life;
mod node;
mod scenario;
mod tables;

/// One test for each file of fixtures.
macro_rules! themes {
    ($($theme:ident),+ $(,)?) => {
        $(
            #[test]
            fn $theme() {
                scenario::run(stringify!($theme)).unwrap_or_else(|error| panic!("{error:#}"));
            }
        )+

        #[test]
        fn every_file_of_fixtures_is_run() {
            let mut files: Vec<String> = std::fs::read_dir(scenario::folder())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .filter_map(|name| name.strip_suffix(".yaml").map(str::to_owned))
                .collect();
            files.sort();
            let mut run = vec![$(stringify!($theme).to_owned()),+];
            run.sort();
            assert_eq!(files, run);
        }
    };
}
themes! {
    affinity,
    cluster_ip,
    dsr,
    dsr_gue,
    dsr_hybrid,
    hairpin,
    headers,
    host_packets,
    host_sockets,
    lives_of_flows,
    masquerade,
    no_backend,
    node_port_addresses,
    not_ours,
    outside,
    remote_backend,
    source_ranges,
    too_big,
    traffic_policy,
    vacant,
}
