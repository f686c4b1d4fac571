//! Program tests: single packets through the real bytecode, run by the kernel
//! (`BPF_PROG_TEST_RUN`). They need root. What loads them and fills their tables is in `tests/src/prog`.
//!
//! | module | noun |
//! |---|---|
//! | [`front`] | packets in front of the stack |
//! | [`life`] | a packet over two nodes, and back |
//! | [`scenario`] | fixtures and running them |
//! | [`ports`] | source ports, to the last one |
//! | [`flood`] | many flows at once |
//! | [`way`] | on what kind of node fixtures are run |
//! | [`web`] | a node with one Service |
//! | [`explain`] | packets that are explained, and what becomes of them |
//! | [`strangers`] | tuples that are nobody's |
//! | [`filter`] | the filters in front of the tables |
//! | [`fuzz`] | any bytes |
//! | [`budget`] | what the verifier says of each program |
//!
//! The kernel has no `BPF_PROG_TEST_RUN` for programs at sockets; the netns tests cover those.
#![expect(clippy::unwrap_used, reason = "a test fails by a panic")]

mod budget;
mod explain;
mod filter;
mod flood;
mod front;
mod fuzz;
mod life;
mod ports;
mod scenario;
mod strangers;
mod way;
mod web;

use self::way::Way;
use svclb_tests::prog::{aside, cidr, lab, node, tables};

/// One test for each file of fixtures.
macro_rules! themes {
    ($($theme:ident),+ $(,)?) => {
        $(
            #[test]
            fn $theme() {
                scenario::run(stringify!($theme), Way::Plain).unwrap_or_else(|error| panic!("{error:#}"));
            }
        )+

        /// The same packets on a node that has the XDP program on its uplink as well: nothing may differ.
        mod with_xdp {
            use super::{scenario, way::Way};

            $(
                #[test]
                fn $theme() {
                    scenario::run(stringify!($theme), Way::WithXdp).unwrap_or_else(|error| panic!("{error:#}"));
                }
            )+
        }

        /// The same packets while flows move to tables of another size, each entry being where it is looked for last.
        mod while_moving {
            use super::{scenario, way::Way};

            $(
                #[test]
                fn $theme() {
                    scenario::run(stringify!($theme), Way::WhileMoving)
                        .unwrap_or_else(|error| panic!("{error:#}"));
                }
            )+
        }

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
    algorithms,
    cluster_ip,
    datagrams,
    extensions,
    fragments,
    dsr,
    dsr_errors,
    dsr_gue,
    dsr_hybrid,
    hairpin,
    headers,
    host_packets,
    host_sockets,
    icmp_errors,
    lives_of_flows,
    masquerade,
    new_flow_rate,
    no_backend,
    node_port_addresses,
    not_ours,
    outside,
    remote_backend,
    sctp,
    source_addresses,
    source_addresses_by_device,
    source_addresses_compat,
    source_ranges,
    states_of_flows,
    too_big,
    traffic_policy,
    vacant,
    vip_echo,
    xdp,
}
