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

use aya_obj::generated::{
    XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE, bpf_attach_type, bpf_attr, bpf_cmd, bpf_link_info, bpf_link_type,
};
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
pub(super) unsafe fn bpf(cmd: bpf_cmd, attr: &mut bpf_attr) -> io::Result<libc::c_long> {
    // SAFETY: the caller vouches for `attr`; its size is given.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, cmd as libc::c_long, &raw mut *attr, size_of::<bpf_attr>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

pub(super) fn attributes() -> bpf_attr {
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

/// Which side of a device a program is attached to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Packets that the device delivers.
    Ingress,
    /// Packets that are about to leave by it.
    Egress,
}

/// Place before all other programs of the hook (`BPF_F_BEFORE` without a relative).
const FIRST: u32 = 1 << 3;

/// Place right after the program of a link, which is named by its descriptor (`BPF_F_AFTER | BPF_F_LINK`, Linux 6.6).
const AFTER_LINK: u32 = 1 << 4 | 1 << 13;

/// Attaches a program to a device (`BPF_LINK_CREATE` with TCX, Linux 6.6): on ingress
/// before all others, on egress after all others, that is on either side next to
/// whoever is behind the device. With `predecessor`, right behind that link instead.
pub fn attach_tcx(
    program: BorrowedFd<'_>,
    ifindex: u32,
    side: Side,
    predecessor: Option<BorrowedFd<'_>>,
) -> io::Result<OwnedFd> {
    let (kind, flags) = match side {
        Side::Ingress => (bpf_attach_type::BPF_TCX_INGRESS, FIRST),
        Side::Egress => (bpf_attach_type::BPF_TCX_EGRESS, 0),
    };
    let flags = if predecessor.is_some() { AFTER_LINK } else { flags };
    let mut attr = attributes();
    // SAFETY: unions of integers; the descriptor outlives the call.
    unsafe {
        attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
        attr.link_create.__bindgen_anon_2.target_ifindex = ifindex;
        attr.link_create.attach_type = kind as u32;
        attr.link_create.flags = flags;
        if let Some(link) = predecessor {
            attr.link_create.__bindgen_anon_3.tcx.__bindgen_anon_1.relative_fd =
                link.as_raw_fd().cast_unsigned();
        }
        create(&mut attr)
    }
}

/// Attaches a program in front of the stack (`BPF_LINK_CREATE` with XDP, Linux 5.9), in the
/// device's driver or in the kernel. Fails where another program is attached.
pub fn attach_xdp(program: BorrowedFd<'_>, ifindex: u32, is_native: bool) -> io::Result<OwnedFd> {
    let mut attr = attributes();
    // SAFETY: unions of integers; the descriptor outlives the call.
    unsafe {
        attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
        attr.link_create.__bindgen_anon_2.target_ifindex = ifindex;
        attr.link_create.attach_type = bpf_attach_type::BPF_XDP as u32;
        attr.link_create.flags = if is_native { XDP_FLAGS_DRV_MODE } else { XDP_FLAGS_SKB_MODE };
        create(&mut attr)
    }
}

/// Attaches a program to a cgroup (`BPF_LINK_CREATE`, Linux 5.7). Other programs of the
/// cgroup stay: links of cgroups are always "multi".
pub fn attach_cgroup(
    program: BorrowedFd<'_>,
    cgroup: BorrowedFd<'_>,
    kind: bpf_attach_type,
) -> io::Result<OwnedFd> {
    let mut attr = attributes();
    // SAFETY: unions of integers; the descriptors outlive the call.
    unsafe {
        attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd().cast_unsigned();
        attr.link_create.__bindgen_anon_2.target_fd = cgroup.as_raw_fd().cast_unsigned();
        attr.link_create.attach_type = kind as u32;
        create(&mut attr)
    }
}

/// `BPF_LINK_CREATE`.
///
/// # Safety
/// As [`bpf`].
unsafe fn create(attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: the caller vouches for `attr`.
    let fd = unsafe { bpf(bpf_cmd::BPF_LINK_CREATE, attr)? };
    // SAFETY: the kernel just gave us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Pins a link (`BPF_OBJ_PIN`, Linux 4.4), so that it outlives this process.
pub fn pin(link: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = attributes();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    attr.__bindgen_anon_4.bpf_fd = link.as_raw_fd().cast_unsigned();
    // SAFETY: the path outlives the call.
    unsafe { bpf(bpf_cmd::BPF_OBJ_PIN, &mut attr)? };
    Ok(())
}

/// Replaces the program of a link, without a packet or a call in between that finds
/// none (`BPF_LINK_UPDATE`, Linux 5.7).
pub fn update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = attributes();
    // SAFETY: unions of integers.
    unsafe {
        attr.link_update.link_fd = link.as_raw_fd().cast_unsigned();
        attr.link_update.__bindgen_anon_1.new_prog_fd = program.as_raw_fd().cast_unsigned();
        bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attr)?;
    }
    Ok(())
}

/// Takes a link's program away at once, whoever else holds the link (`BPF_LINK_DETACH`, Linux 5.9).
pub fn detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attr = attributes();
    // SAFETY: unions of integers.
    unsafe {
        attr.link_detach.link_fd = link.as_raw_fd().cast_unsigned();
        bpf(bpf_cmd::BPF_LINK_DETACH, &mut attr)?;
    }
    Ok(())
}

/// What is known of a link (`BPF_OBJ_GET_INFO_BY_FD`, Linux 5.8).
pub fn info(link: BorrowedFd<'_>) -> io::Result<LinkInfo> {
    // SAFETY: all zeros are a valid value.
    let mut info: bpf_link_info = unsafe { std::mem::zeroed() };
    let mut attr = attributes();
    attr.info.bpf_fd = link.as_raw_fd().cast_unsigned();
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
        } else if info.type_ == bpf_link_type::BPF_LINK_TYPE_XDP as u32 {
            let ifindex = info.__bindgen_anon_1.xdp.ifindex;
            Target::Device((ifindex != 0).then_some(ifindex))
        } else {
            Target::Other
        }
    };
    Ok(LinkInfo { id: info.id, program: info.prog_id, target })
}
