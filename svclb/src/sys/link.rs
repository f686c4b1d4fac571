//! BPF links by their pin: aya updates links of two program types only, and tells
//! nothing of what a link is attached to.

use std::{
    ffi::CString,
    io,
    os::{
        fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_link_info, bpf_link_type};
use nix::libc;

/// What a link is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A cgroup, by its id.
    Cgroup(u64),
    /// A device, by its index in the namespace that asks; `None` when it is gone.
    Device(Option<u32>),
    /// Anything else.
    Other,
}

/// A link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// Its id.
    pub id: u32,
    /// The id of its program.
    pub program: u32,
    /// What it is attached to.
    pub target: Target,
}

/// `bpf(2)`.
///
/// # Safety
/// `attr` must be what `cmd` takes, and what it points to must be valid.
unsafe fn bpf(cmd: bpf_cmd, attr: &mut bpf_attr) -> io::Result<libc::c_long> {
    // SAFETY: the caller vouches for `attr`; its size is given.
    let result = unsafe { libc::syscall(libc::SYS_bpf, cmd as libc::c_long, &raw mut *attr, size_of::<bpf_attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn attributes() -> bpf_attr {
    // SAFETY: all zeros are valid attributes of every command.
    unsafe { std::mem::zeroed() }
}

/// Opens what is pinned at `path` (`BPF_OBJ_GET`, Linux 4.4).
pub fn open(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = attributes();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    // SAFETY: the path outlives the call.
    let fd = unsafe { bpf(bpf_cmd::BPF_OBJ_GET, &mut attr)? };
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Replaces the program of a link, without a packet or a call in between that finds
/// none (`BPF_LINK_UPDATE`, Linux 5.7).
pub fn update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = attributes();
    // SAFETY: unions of integers.
    unsafe {
        attr.link_update.link_fd = link.as_raw_fd() as u32;
        attr.link_update.__bindgen_anon_1.new_prog_fd = program.as_raw_fd() as u32;
        bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attr)?;
    }
    Ok(())
}

/// What is known of a link (`BPF_OBJ_GET_INFO_BY_FD`, Linux 5.8).
pub fn info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    // SAFETY: all zeros are a valid value.
    let mut info: bpf_link_info = unsafe { std::mem::zeroed() };
    let mut attr = attributes();
    attr.info.bpf_fd = link.as_raw_fd() as u32;
    attr.info.info_len = size_of::<bpf_link_info>() as u32;
    attr.info.info = &raw mut info as u64;
    // SAFETY: the buffer outlives the call and has the length that is given.
    unsafe { bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attr)? };
    // SAFETY: the type tells which member of the union the kernel wrote.
    let target = unsafe {
        if info.type_ == bpf_link_type::BPF_LINK_TYPE_CGROUP as u32 {
            Target::Cgroup(info.__bindgen_anon_1.cgroup.cgroup_id)
        } else if info.type_ == bpf_link_type::BPF_LINK_TYPE_TCX as u32 {
            let ifindex = info.__bindgen_anon_1.tcx.ifindex;
            Target::Device((ifindex != 0).then_some(ifindex))
        } else {
            Target::Other
        }
    };
    Ok(LinkInfo { id: info.id, program: info.prog_id, target })
}
