//! What this host permits: asked by trying, not by reading version numbers.

use std::path::PathBuf;

use crate::cgroup::{self, Cgroup};
use crate::{native, netcut};

/// What works here; each error says what is missing.
#[derive(Clone, Debug)]
pub struct HostReport {
    /// Tracing an own child.
    pub ptrace: Result<(), String>,
    /// Holding by the cgroup v2 freezer.
    pub freeze: Result<(), String>,
    /// Cutting off the network.
    pub network_cut: Result<(), String>,
    /// Where cgroups for instances are made.
    pub cgroup_root: Option<PathBuf>,
}

/// Tries each capability once and leaves nothing behind.
pub fn probe() -> HostReport {
    let root = cgroup::root();
    let freeze = root.clone().and_then(|root| {
        let name = format!("freezeframe-probe-{}", std::process::id());
        let cgroup = Cgroup::create(&root, &name).map_err(|error| match error.kind() {
            std::io::ErrorKind::PermissionDenied => {
                format!("the right to make a cgroup below {} (run as root, or delegate it)", root.display())
            }
            _ => format!("{}: {error}", root.display()),
        })?;
        cgroup.remove().map_err(|error| format!("{}: {error}", cgroup.path().display()))
    });
    HostReport {
        ptrace: native::probe().map_err(|error| format!("permission to trace an own child: {error}")),
        network_cut: freeze.clone().and_then(|()| netcut::probe()),
        freeze,
        cgroup_root: root.ok(),
    }
}
