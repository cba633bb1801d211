//! Cutting a cgroup off the network: a BPF program of two instructions that drops every IP packet in both directions.
//!
//! Established connections stall, new ones time out, nothing is told to the process. An attached program belongs to the
//! cgroup and outlives us; that is why the cut is taken back by asking the cgroup which programs it has, not by memory.
//! Sockets belong to the cgroup in which they were made. See bpf(2); attach types of `BPF_PROG_TYPE_CGROUP_SKB`.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

const BPF_PROG_LOAD: i32 = 5;
const BPF_PROG_ATTACH: i32 = 8;
const BPF_PROG_DETACH: i32 = 9;
const BPF_PROG_GET_FD_BY_ID: i32 = 13;
const BPF_PROG_QUERY: i32 = 16;
const PROG_TYPE_CGROUP_SKB: u32 = 8;
const FLAG_ALLOW_MULTI: u32 = 2;
const INGRESS: u32 = 0;
const EGRESS: u32 = 1;
/// More programs than this on one cgroup of ours would be a mistake of somebody else.
const PROGRAMS_MAX: usize = 16;

/// `r0 = 0; exit`: verdict "drop" for every packet.
static DROP: [u64; 2] = [0x0000_0000_0000_00b7, 0x0000_0000_0000_0095];

/// The part of `union bpf_attr` that loading uses, padded to what kernels of today read.
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
struct Attach {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

#[repr(C)]
struct Query {
    target_fd: u32,
    attach_type: u32,
    query_flags: u32,
    attach_flags: u32,
    prog_ids: u64,
    prog_cnt: u32,
    padding: u32,
}

fn bpf<T>(command: i32, attributes: &mut T) -> io::Result<i32> {
    // SAFETY: `attributes` is a repr(C) structure that begins like the member of `union bpf_attr` that `command` reads;
    // the kernel takes its size and zero-extends; pointers in it outlive the call.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    i32::try_from(result).ok().filter(|result| *result >= 0).ok_or_else(io::Error::last_os_error)
}

fn own(fd: i32) -> OwnedFd {
    // SAFETY: bpf(2) returned a new descriptor that nobody else knows.
    unsafe { OwnedFd::from_raw_fd(fd) }
}

fn load(attach_type: u32) -> io::Result<OwnedFd> {
    let mut attributes = Load {
        prog_type: PROG_TYPE_CGROUP_SKB,
        insn_cnt: 2,
        insns: DROP.as_ptr() as u64,
        license: c"GPL".as_ptr() as u64,
        expected_attach_type: attach_type,
        ..Load::default()
    };
    let name = b"freezeframe_cut";
    attributes.prog_name[..name.len()].copy_from_slice(name);
    bpf(BPF_PROG_LOAD, &mut attributes).map(own)
}

fn descriptor(fd: &impl AsRawFd) -> u32 {
    u32::try_from(fd.as_raw_fd()).unwrap_or(u32::MAX)
}

/// Whether a program can be loaded here; the error says what is missing.
pub fn probe() -> Result<(), String> {
    load(INGRESS).map(drop).map_err(|error| explain(&error))
}

/// Cuts the cgroup off; calling it twice is harmless. The error says what is missing.
pub fn cut(cgroup: &Path) -> Result<(), String> {
    let directory = File::open(cgroup).map_err(|error| format!("{}: {error}", cgroup.display()))?;
    for attach_type in [INGRESS, EGRESS] {
        if !programs(&directory, attach_type).map_err(|error| explain(&error))?.is_empty() {
            continue;
        }
        let program = load(attach_type).map_err(|error| explain(&error))?;
        let mut attributes = Attach {
            target_fd: descriptor(&directory),
            attach_bpf_fd: descriptor(&program),
            attach_type,
            attach_flags: FLAG_ALLOW_MULTI,
        };
        bpf(BPF_PROG_ATTACH, &mut attributes).map_err(|error| explain(&error))?;
    }
    Ok(())
}

/// Takes the cut back: connections resume, late (TCP backs off while it gets no answers).
pub fn restore(cgroup: &Path) -> io::Result<()> {
    let directory = File::open(cgroup)?;
    for attach_type in [INGRESS, EGRESS] {
        for id in programs(&directory, attach_type)? {
            let mut by_id = [id, 0, 0];
            let program = bpf(BPF_PROG_GET_FD_BY_ID, &mut by_id).map(own)?;
            let mut attributes = Attach {
                target_fd: descriptor(&directory),
                attach_bpf_fd: descriptor(&program),
                attach_type,
                attach_flags: 0,
            };
            bpf(BPF_PROG_DETACH, &mut attributes)?;
        }
    }
    Ok(())
}

fn programs(directory: &File, attach_type: u32) -> io::Result<Vec<u32>> {
    let mut ids = [0u32; PROGRAMS_MAX];
    let mut attributes = Query {
        target_fd: descriptor(directory),
        attach_type,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr() as u64,
        prog_cnt: PROGRAMS_MAX as u32,
        padding: 0,
    };
    bpf(BPF_PROG_QUERY, &mut attributes)?;
    Ok(ids.iter().copied().take(attributes.prog_cnt as usize).collect())
}

fn explain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "CAP_BPF and CAP_NET_ADMIN (or root)".to_owned(),
        Some(libc::ENOSYS) => "bpf(2) in this kernel or container".to_owned(),
        Some(libc::EINVAL) => "cgroup BPF (CONFIG_CGROUP_BPF) in this kernel".to_owned(),
        _ => format!("bpf(2): {error}"),
    }
}
