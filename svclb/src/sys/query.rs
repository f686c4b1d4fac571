//! Which programs are at a hook, in the order in which they run.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd},
};

use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd};

use super::link::{Side, attributes, bpf};

/// So many programs may be at one hook (`BPF_MPROG_MAX`, and for control groups `BPF_CGROUP_MAX_PROGS`).
const MOST: usize = 64;

/// The numbers of the programs of a device's side, in their order (`BPF_PROG_QUERY` with TCX, Linux 6.6).
pub fn of_device(ifindex: u32, side: Side) -> io::Result<Vec<u32>> {
    let kind = match side {
        Side::Ingress => bpf_attach_type::BPF_TCX_INGRESS,
        Side::Egress => bpf_attach_type::BPF_TCX_EGRESS,
    };
    query(ifindex, kind)
}

/// The numbers of the programs that a control group has itself at a hook of sockets (`BPF_PROG_QUERY`, Linux 4.15).
pub fn of_cgroup(cgroup: BorrowedFd<'_>, kind: bpf_attach_type) -> io::Result<Vec<u32>> {
    query(cgroup.as_raw_fd().cast_unsigned(), kind)
}

/// `target` is a descriptor or the index of a device.
fn query(target: u32, kind: bpf_attach_type) -> io::Result<Vec<u32>> {
    let mut programs = [0_u32; MOST];
    let mut attr: bpf_attr = attributes();
    attr.query.__bindgen_anon_1.target_ifindex = target;
    attr.query.attach_type = kind as u32;
    attr.query.__bindgen_anon_2.prog_cnt = MOST as u32;
    attr.query.prog_ids = programs.as_mut_ptr() as u64;
    // SAFETY: the array outlives the call and has the length that is given.
    let count = unsafe {
        bpf(bpf_cmd::BPF_PROG_QUERY, &mut attr)?;
        attr.query.__bindgen_anon_2.prog_cnt as usize
    };
    Ok(programs.into_iter().take(count).collect())
}
